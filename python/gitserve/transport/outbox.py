"""What is written, for whoever pulls it.

In: what a service writes. Out: the same as ``bytes``, which is all that PEP 3333 lets servers take:
what the core lends is copied here, unless the server is our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable


class Outbox:
    """A sink for whoever pulls: keeps what is written until it is taken."""

    __slots__ = ("_takes_chunks", "_waiting")

    def __init__(self, *, takes_chunks: bool = False) -> None:
        """``takes_chunks``: whoever pulls takes what the core lends as it is."""
        self._takes_chunks = takes_chunks
        self._waiting: list[bytes] = []

    def write(self, data: Sendable, /) -> None:
        """See :class:`~gitserve.service.streams.ByteSink`."""
        # what an own server is given is nothing to WSGI, which knows bytes alone
        self._waiting.append(cast("bytes", data) if self._takes_chunks else bytes(data))

    def take(self) -> list[bytes]:
        """What has been written since the last time."""
        taken, self._waiting = self._waiting, []
        return taken
