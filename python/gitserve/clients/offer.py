"""What a server offered when it was greeted.

In: its first message. Out: one of two values, by the version that it speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import HEX_LENGTHS
from gitserve.wire.ref_advertisement import RefAdvertisement


@dataclass(frozen=True, slots=True)
class OfferV2:
    """Capabilities; refs have to be asked for."""

    capabilities: dict[bytes, bytes | None] = field(default_factory=dict)

    @property
    def object_format(self) -> str:
        """``sha1`` where the server says nothing."""
        return (self.capabilities.get(b"object-format") or b"sha1").decode("ascii", "replace")

    @property
    def hex_length(self) -> int:
        """Digits of an object id. Raises :class:`Malformed` for an unknown format."""
        return hex_length(self.object_format)

    def features(self, command: bytes) -> frozenset[bytes]:
        """What the server can do besides the plain command."""
        return frozenset((self.capabilities.get(command) or b"").split())


Offer = RefAdvertisement | OfferV2


def hex_length(object_format: str) -> int:
    """Digits of an object id. Raises :class:`Malformed` for an unknown format."""
    length = HEX_LENGTHS.get(object_format)
    if length is None:
        raise Malformed(f"unknown object format '{quoted(object_format.encode())}'")
    return length


@dataclass(frozen=True, slots=True)
class RefList:
    """The refs of a server, whichever version listed them."""

    refs: dict[bytes, bytes] = field(default_factory=dict)
    """Name to id, ``HEAD`` included unless it is unborn."""
    peeled: dict[bytes, bytes] = field(default_factory=dict)
    symrefs: dict[bytes, bytes] = field(default_factory=dict)

    def beginning_with(self, prefixes: tuple[bytes, ...]) -> RefList:
        """Those whose names begin with one of the prefixes; all when there are none."""
        if not prefixes:
            return self
        return RefList(
            {name: value for name, value in self.refs.items() if name.startswith(prefixes)},
            {name: value for name, value in self.peeled.items() if name.startswith(prefixes)},
            {name: value for name, value in self.symrefs.items() if name.startswith(prefixes)},
        )
