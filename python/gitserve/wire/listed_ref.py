"""One line of the answer to v2's ls-refs.

In: the line. Out: :class:`ListedRef`. Only the reading end is here; the writing one is the core's,
straight from its refs.

Git's document: gitprotocol-v2, "ls-refs" (ref).
"""

from __future__ import annotations

from typing import NamedTuple

from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import is_object_id
from gitserve.wire.pktline import chomp


class ListedRef(NamedTuple):
    """A ref."""

    name: bytes
    object_id: bytes | None
    """``None``: a symbolic ref to a branch that is not born yet."""
    target: bytes | None = None
    """What a symbolic ref follows."""
    peeled: bytes | None = None
    """What is behind the tag that it names."""


def parse(raw: bytes, hex_length: int) -> ListedRef:
    """Raises :class:`Malformed`."""
    line = chomp(raw)
    first, *words = line.split(b" ")
    if not words or not words[0] or not (first == b"unborn" or is_object_id(first, hex_length)):
        raise Malformed(f"unexpected ref line '{quoted(line)}'")
    target = peeled = None
    for word in words[1:]:
        key, _, value = word.partition(b":")
        if key == b"symref-target":
            target = value
        elif key == b"peeled":
            if not is_object_id(value, hex_length):
                raise Malformed(f"unexpected ref line '{quoted(line)}'")
            peeled = value
    return ListedRef(words[0], None if first == b"unborn" else first, target, peeled)
