"""The server's answer to a deepening: which commits lose their parents, which get them back.

In: commit ids. Out: payloads of packets, framed by whoever sends them; and back. It must not know
how a boundary is found.

Git's document: gitprotocol-pack, "Packfile Negotiation" (shallow-update); gitprotocol-v2, "fetch"
(shallow-info).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitserve.record import TYPE_CHECKING, Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import is_object_id
from gitserve.wire.pktline import chomp

if TYPE_CHECKING:
    from typing import Final

SECTION: Final = b"shallow-info\n"


class ShallowInfo(Record):
    """The lines of one answer, by what they say."""

    shallow: tuple[bytes, ...] = ()
    unshallow: tuple[bytes, ...] = ()


def format_lines(shallow: Sequence[bytes], unshallow: Sequence[bytes]) -> list[bytes]:
    """The payloads; git sends them without line feeds."""
    lines = [b"shallow " + commit_id for commit_id in shallow]
    return lines + [b"unshallow " + commit_id for commit_id in unshallow]


def parse(lines: Iterable[bytes], hex_length: int) -> ShallowInfo:
    """Raises :class:`Malformed`."""
    shallow: list[bytes] = []
    unshallow: list[bytes] = []
    for raw in lines:
        word, _, commit_id = chomp(raw).partition(b" ")
        if word not in (b"shallow", b"unshallow") or not is_object_id(commit_id, hex_length):
            raise Malformed(f"expected shallow/unshallow, got '{quoted(raw)}'")
        (shallow if word == b"shallow" else unshallow).append(commit_id.lower())
    return ShallowInfo(tuple(shallow), tuple(unshallow))
