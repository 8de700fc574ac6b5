"""A server's log that a test reads."""

from __future__ import annotations

from gitserve.transport.log import Log


class KeptLog(Log):
    """Keeps the lines, and writes them nowhere."""

    def __init__(self) -> None:
        super().__init__(None)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)
