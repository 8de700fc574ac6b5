"""The tests. ``unit`` and ``property`` need no process; ``interop`` talks to real clients."""
