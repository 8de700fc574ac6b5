"""The work that a session asks for, done on a repository.

:mod:`.driver` runs a session's effects over a source and a sink of bytes; :mod:`.upload` and
:mod:`.receive` perform those that need a repository. Must not know which road the bytes take.
"""
