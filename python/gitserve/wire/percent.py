"""Percent-encoding, as Git's protocol uses it inside of values.

In: bytes. Out: bytes. Small, because the standard library's brings more than a request needs.
"""

from __future__ import annotations

from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


def encode(data: bytes, also_plain: bytes = b"") -> bytes:
    """All but letters, digits, ``-._~`` and ``also_plain`` as ``%XX``."""
    plain = UNRESERVED.union(also_plain)
    if plain.issuperset(data):
        return data
    return b"".join(bytes((byte,)) if byte in plain else b"%%%02X" % byte for byte in data)


def decode(data: bytes) -> bytes:
    """What is no encoding stays as it is."""
    first, *rest = data.split(b"%")
    made = [first]
    for piece in rest:
        digits = piece[:2]
        if len(digits) == 2 and _HEX.issuperset(digits):
            made += (bytes.fromhex(digits.decode()), piece[2:])
        else:
            made += (b"%", piece)
    return b"".join(made)
