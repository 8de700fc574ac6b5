"""Reads a section, the lines up to a marker, within bounds.

In: runs of packets. Out: all lines of a section at once. It must not know what they say.
"""

from __future__ import annotations

from collections.abc import Generator

from gitserve.errors import HangupError, PeerError
from gitserve.record import TYPE_CHECKING
from gitserve.session.effects import Effect, Read
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import Marker, Run

if TYPE_CHECKING:
    from typing import Any


_READ = Read()


class TooMuch(PeerError):
    """More than a limit allows."""


def read_section(
    max_lines: int, max_bytes: int, first: Run | None = None
) -> Generator[Effect, Any, tuple[list[bytes], Marker] | None]:
    """The lines up to a marker, and the marker; ``None`` when the input ends before them all.

    ``first``: a run that has been read already. Raises :class:`HangupError` when the input ends in
    the middle, :class:`TooMuch` beyond a limit.
    """
    run: Run | None = first if first is not None else (yield _READ)
    if run is None:
        return None
    lines, end = run.lines, run.end
    if end is None:
        size = sum(map(len, lines))
        while end is None:
            run = yield _READ
            if run is None:
                raise HangupError("input ended in the middle of a section")
            more, end = run.lines, run.end
            size += sum(map(len, more))
            if size > max_bytes or len(lines) + len(more) > max_lines:
                raise _too_much(max_lines, max_bytes)
            lines += more
    if len(lines) > max_lines:
        raise _too_much(max_lines, max_bytes)
    return lines, end


def expect_flush(section: tuple[list[bytes], Marker] | None, what: str) -> list[bytes]:
    """The lines of a section that must be there and must end in a flush."""
    if section is None:
        raise HangupError(f"input ended before {what}")
    lines, end = section
    if end is not Marker.FLUSH:
        raise Malformed(f"expected flush after {what}")
    return lines


def check_count(count: int, limit: int, what: bytes) -> None:
    """Raises :class:`TooMuch` when there are more than ``limit``."""
    if count > limit:
        raise TooMuch(
            f"{count} {what.decode()}, limit {limit}",
            wire=b"too many %b, at most %d are taken" % (what, limit),
        )


def _too_much(max_lines: int, max_bytes: int) -> TooMuch:
    return TooMuch(
        f"section of more than {max_lines} lines or {max_bytes} bytes", wire=b"request too large"
    )
