"""Which haves are said next, and when enough has been said.

In: a source of haves, newest first, and the server's acknowledgments. Out: runs of haves. It must
not know packets, nor where the haves come from.
"""

from __future__ import annotations

from typing import Final, Protocol

FIRST_ROUND: Final = 16
"""Haves: most fetches find something common among the newest few."""

LARGEST_STREAMED: Final = 512
"""Haves sent before the answers are read. They fit in any pipe's buffer, so that a server that
answers each at once never waits for us while we wait for it."""

LARGEST_ALONE: Final = 16384
"""Haves of one round where the server reads the whole request before it answers."""

IN_VAIN: Final = 256
"""New haves since the last that was common; then the rest is taken for the server's own news."""


class HaveSource(Protocol):
    """What the client has."""

    def next_have(self) -> bytes | None:
        """The next id that the server may have, too; ``None`` when there is none."""

    def acknowledge(self, object_id: bytes) -> None:
        """The server has it: what it reaches need not be said."""


class Rounds:
    """The haves of one negotiation."""

    __slots__ = ("_in_vain", "_largest", "_said", "_size", "_source", "common")

    def __init__(self, source: HaveSource, largest: int) -> None:
        self._source = source
        self._largest = largest
        self._size = FIRST_ROUND
        self._in_vain = 0
        self._said: set[bytes] = set()
        self.common: dict[bytes, None] = {}
        """What the server is known to have, in order."""

    @property
    def said(self) -> int:
        """How many different haves the server has been told of."""
        return len(self._said)

    def next_round(self) -> list[bytes]:
        """Empty when it is time for the pack."""
        if self.common and self._in_vain >= IN_VAIN:
            return []
        ids: list[bytes] = []
        while len(ids) < self._size:
            object_id = self._source.next_have()
            if object_id is None:
                break
            if object_id not in self._said:
                self._said.add(object_id)
                ids.append(object_id)
        self._in_vain += len(ids)
        self._size = min(self._size * 2, self._largest)
        return ids

    def acknowledge(self, object_id: bytes) -> bool:
        """The server has it. ``False`` when it was never said."""
        if object_id not in self._said:
            return False
        if object_id not in self.common:
            self.common[object_id] = None
            self._in_vain = 0
            self._source.acknowledge(object_id)
        return True
