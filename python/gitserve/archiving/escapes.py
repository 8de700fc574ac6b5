"""``%n``, ``%x2C`` and ``%%`` inside the options of a placeholder.

In: bytes. Out: bytes. A comma or a parenthesis can be said in no other way there.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"%(n|%|x[0-9a-fA-F]{2})")


def unescaped(text: bytes) -> bytes:
    """What is no escape stays as it is."""

    def value(found: re.Match[bytes]) -> bytes:
        word = found[1]
        if word == b"n":
            return b"\n"
        return b"%" if word == b"%" else bytes.fromhex(word[1:].decode())

    return _ESCAPE.sub(value, text)
