"""Several streams in one: data, progress, and the error that ends both.

In: bytes of one band. Out: packets whose first byte is the band. For short texts only: packs are
framed by the core. It must not know what travels in the bands.

Git's document: gitprotocol-pack, "Packfile Data"; gitprotocol-capabilities, "side-band".
"""

from __future__ import annotations

from enum import IntEnum

from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import MAX_LENGTH


class Band(IntEnum):
    """Which stream."""

    DATA = 1
    PROGRESS = 2
    ERROR = 3


def encode(band: Band, data: bytes, max_length: int = MAX_LENGTH) -> bytes:
    """As many packets as it takes, none when there is no data.

    ``max_length``: of a whole packet, 1000 for side-band and 65520 for side-band-64k.
    """
    room = max_length - 5
    return b"".join(
        [
            b"%04x%c%b" % (min(room, len(data) - start) + 5, band, data[start : start + room])
            for start in range(0, len(data), room)
        ]
    )


def decode(payload: bytes) -> tuple[Band, bytes]:
    """Raises :class:`Malformed`."""
    if not payload or payload[0] not in (1, 2, 3):
        raise Malformed(f"bad band: '{quoted(payload[:4])}'")
    return Band(payload[0]), payload[1:]
