"""The server's answers to haves.

In: ids and what became of them. Out: payloads of packets, framed by whoever sends them; and back.
It must not know when which answer is due.

Git's document: gitprotocol-pack, "Packfile Negotiation" (server-response); gitprotocol-v2, "fetch"
(acknowledgments).
"""

from __future__ import annotations

from enum import Enum

from gitserve.record import TYPE_CHECKING, Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import is_object_id
from gitserve.wire.pktline import chomp

if TYPE_CHECKING:
    from typing import Final

NAK: Final = b"NAK\n"
SECTION: Final = b"acknowledgments\n"
READY: Final = b"ready\n"


class AckStatus(Enum):
    """What an ACK says besides that the object is known."""

    PLAIN = b""
    """The first common one (single ACK), the last one (before a pack), any one (v2)."""
    CONTINUE = b" continue"
    """multi_ack: go on, but not below this one."""
    COMMON = b" common"
    """multi_ack_detailed: this one is here."""
    READY = b" ready"
    """multi_ack_detailed: this is enough for a pack."""


class Ack(Record):
    """One line."""

    object_id: bytes
    status: AckStatus = AckStatus.PLAIN


def format(object_id: bytes, status: AckStatus = AckStatus.PLAIN) -> bytes:
    """The payload."""
    return b"ACK %b%b\n" % (object_id, status.value)


def parse(payload: bytes, hex_length: int) -> Ack | None:
    """``None`` for a NAK. Raises :class:`Malformed`."""
    line = chomp(payload)
    if line == b"NAK":
        return None
    object_id = line[4 : 4 + hex_length]
    try:
        status = AckStatus(line[4 + hex_length :])
    except ValueError:
        status = None
    if line[:4] != b"ACK " or status is None or not is_object_id(object_id, hex_length):
        raise Malformed(f"expected ACK/NAK, got '{quoted(line)}'")
    return Ack(object_id.lower(), status)
