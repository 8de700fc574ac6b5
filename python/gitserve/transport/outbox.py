"""What is written, for whoever pulls it.

In: what a service writes. Out: the same as ``bytes``, which is all that PEP 3333 lets servers take:
what the core lends is copied here.
"""

from __future__ import annotations

from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable


class Outbox:
    """A sink for whoever pulls: keeps what is written until it is taken."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def write(self, data: Sendable, /) -> None:
        """See :class:`~gitserve.service.streams.ByteSink`."""
        self._waiting.append(bytes(data))

    def take(self) -> list[bytes]:
        """What has been written since the last time."""
        taken, self._waiting = self._waiting, []
        return taken
