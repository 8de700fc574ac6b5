"""Packs that a client gets from elsewhere: the section before the packfile.

In: where they are. Out: payloads of packets, framed by whoever sends them. It must not know what is
in them.

Git's document: gitprotocol-v2, "fetch" (packfile-uris).
"""

from __future__ import annotations

from collections.abc import Iterable

from gitserve.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Final

SECTION: Final = b"packfile-uris\n"


class PackfileUri(Record):
    """One pack."""

    pack_hash: bytes
    """Its trailing checksum, in hexadecimal digits."""
    uri: bytes


def format_lines(places: Iterable[PackfileUri]) -> list[bytes]:
    """The payloads; a pack that several objects are in is told once."""
    lines = (b"%b %b\n" % (place.pack_hash, place.uri) for place in places)
    return list(dict.fromkeys(lines))
