"""What a client needs of a road to a server: bytes both ways, and when a request is complete.

In: bytes to send. Out: bytes received, or PeerTimeout and HangupError. A road must not know what
the bytes mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable

Activity = Callable[[int, str], None]
"""Told of every read and write: how many bytes, and ``read`` or ``write``."""


class Road(Protocol):
    """A connection to one service on one repository."""

    @property
    def stateless(self) -> bool:
        """Each request stands alone: the server forgets, and what follows a request is an answer
        of its own."""

    def read(self, size: int, /) -> bytes:
        """At least one and at most ``size`` bytes, as soon as there are any; ``b""`` at the end."""

    def write(self, data: Sendable, /) -> None:
        """All of it."""

    def write_all(self, pieces: Iterable[bytes], /) -> None:
        """All of them, as they come."""

    def end_request(self) -> None:
        """What was written is a whole request: the server is waited for next."""

    def explain(self) -> bytes:
        """What the road itself has heard of why it ended, such as a process's last words."""

    def close(self) -> None:
        """Gives the connection up. Safe to call twice."""


class CountedRoad:
    """A road that tells somebody of every read and write."""

    __slots__ = ("_road", "_tell")

    def __init__(self, road: Road, tell: Activity) -> None:
        self._road = road
        self._tell = tell

    @property
    def stateless(self) -> bool:
        """See :class:`Road`."""
        return self._road.stateless

    def read(self, size: int, /) -> bytes:
        """See :class:`Road`."""
        data = self._road.read(size)
        self._tell(len(data), "read")
        return data

    def write(self, data: Sendable, /) -> None:
        """See :class:`Road`."""
        self._road.write(data)
        self._tell(len(data), "write")

    def write_all(self, pieces: Iterable[bytes], /) -> None:
        """See :class:`Road`."""
        self._road.write_all(self._counted(pieces))

    def _counted(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        for piece in pieces:
            yield piece
            self._tell(len(piece), "write")

    def end_request(self) -> None:
        """See :class:`Road`."""
        self._road.end_request()

    def explain(self) -> bytes:
        """See :class:`Road`."""
        return self._road.explain()

    def close(self) -> None:
        """See :class:`Road`."""
        self._road.close()
