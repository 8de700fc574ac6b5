"""The daemon's log: lines on standard error, each begun with the process that wrote it.

In: text, perhaps with bytes of a client in it. Out: one write a line, so that lines of several
processes do not mix. Made of plain formatting: a request costs less than a logging framework.
"""

from __future__ import annotations

import os
from contextlib import suppress

LINE_MAX = 4096
"""Bytes of a line, which the kernel writes in one piece."""


class Log:
    """Where lines go."""

    __slots__ = ("_descriptor", "verbose")

    def __init__(self, descriptor: int | None = 2, *, verbose: bool = False) -> None:
        """``descriptor`` None: nowhere."""
        self._descriptor = descriptor
        self.verbose = verbose

    def line(self, text: str) -> None:
        """Always."""
        if self._descriptor is None:
            return
        if not text.isprintable():
            text = "".join(c if c.isprintable() else "?" for c in text)
        line = f"[{os.getpid()}] {text}".encode("utf-8", "backslashreplace")[: LINE_MAX - 1]
        with suppress(OSError):  # a full disk or a closed terminal stops no transfer
            os.write(self._descriptor, line + b"\n")

    def detail(self, text: str) -> None:
        """With ``--verbose``."""
        if self.verbose:
            self.line(text)
