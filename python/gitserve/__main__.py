"""``python -m gitserve``: the same as ``gitserve``."""

import sys

from gitserve.cli import main

sys.exit(main())
