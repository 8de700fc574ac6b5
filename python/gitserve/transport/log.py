"""The daemon's log: lines on standard error or for syslog, each with the process that wrote it.

In: text, perhaps with bytes of a client in it. Out: one write a line, so that lines of several
processes do not mix. Made of plain formatting: a request costs less than a logging framework.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

LINE_MAX = 4096
"""Bytes of a line, which the kernel writes in one piece."""


class Log:
    """Where lines go."""

    __slots__ = ("_descriptor", "_syslog", "verbose")

    def __init__(
        self, descriptor: int | None = 2, *, verbose: bool = False, syslog: bool = False
    ) -> None:
        """``descriptor`` None: nowhere. ``syslog``: to the system's log instead."""
        self._descriptor = descriptor
        self._syslog = _open_syslog() if syslog else None
        self.verbose = verbose

    def line(self, text: str) -> None:
        """Always."""
        if self._descriptor is None and self._syslog is None:
            return
        if not text.isprintable():
            text = "".join(c if c.isprintable() else "?" for c in text)
        if self._syslog is not None:
            self._syslog(text)
            return
        line = f"[{os.getpid()}] {text}".encode("utf-8", "backslashreplace")[: LINE_MAX - 1]
        with suppress(OSError):  # a full disk or a closed terminal stops no transfer
            os.write(2 if self._descriptor is None else self._descriptor, line + b"\n")

    def detail(self, text: str) -> None:
        """With ``--verbose``."""
        if self.verbose:
            self.line(text)


def _open_syslog() -> Callable[[str], None]:
    import syslog  # not at the top: hardly any server needs it

    syslog.openlog("gitserve", syslog.LOG_PID, syslog.LOG_DAEMON)

    def write(text: str) -> None:
        syslog.syslog(syslog.LOG_INFO, text.encode("utf-8", "backslashreplace").decode())

    return write
