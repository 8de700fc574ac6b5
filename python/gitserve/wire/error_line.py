"""The line that ends a dialogue with the reason why.

In: a text. Out: one packet; and back. It must not know whose fault it was.

Git's document: gitprotocol-common and gitprotocol-pack (error-line).
"""

from __future__ import annotations

from gitserve.record import TYPE_CHECKING
from gitserve.wire.pktline import chomp, encode

if TYPE_CHECKING:
    from typing import Final

TEXT_MAX: Final = 1000
"""Bytes of a reason: a client prints it on a line, and side-band's packets hold no more."""


def one_line(text: bytes) -> bytes:
    """The text as one line that fits."""
    return text.replace(b"\r", b" ").replace(b"\n", b" ").rstrip()[:TEXT_MAX]


def format(text: bytes) -> bytes:
    """One packet; git sends it without a line feed."""
    return encode(b"ERR " + one_line(text))


def parse(payload: bytes) -> bytes | None:
    """The reason, ``None`` when the payload is no error line."""
    return chomp(payload[4:]) if payload[:4] == b"ERR " else None
