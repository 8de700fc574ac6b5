"""gitserve and git daemon side by side: ``make bench``, or ``python -m benches --help``."""
