"""Object ids as they travel: hexadecimal digits, as many as the repository's hash has.

In: fields of messages. Out: the same ids in lower case, or which of them is none. Checked in bulk,
because a fetch may bring thousands. It must not know what an id names.

Git's document: gitprotocol-common, "ABNF notation" (obj-id).
"""

from __future__ import annotations

from binascii import Error as NotHex
from binascii import unhexlify

from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

HEX_LENGTHS: Final = {"sha1": 40, "sha256": 64}
"""Digits of an id by ``extensions.objectFormat``."""


def is_object_id(digits: bytes, hex_length: int) -> bool:
    """Is this one whole id?"""
    if len(digits) != hex_length:
        return False
    try:
        unhexlify(digits)
    except NotHex:
        return False
    return True


def all_object_ids(ids: list[bytes], hex_length: int) -> bool:
    """Are these all whole ids? One pass over all digits; far cheaper than one call an id."""
    for digits in ids:
        if len(digits) != hex_length:
            return False
    try:
        unhexlify(b"".join(ids))
    except NotHex:
        return False
    return True


def lower_case(ids: list[bytes]) -> list[bytes]:
    """The ids as everything behind the wire compares them; digits may arrive in either case."""
    joined = b"".join(ids)
    if joined == joined.lower():
        return ids
    return [digits.lower() for digits in ids]
