"""What git and a long-running filter say to each other.

In: lines of the filter. Out: whether it can smudge, what became of a file; the other way round the
packets that the filter reads. Must not know programs, nor contents.

Git's documents: gitattributes(5), "Long Running Filter Process"; long-running-process-protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import FLUSH_PKT, chomp, encode, encode_all

SUCCESS, FAILURE, ABORT = b"success", b"error", b"abort"

WELCOME = encode(b"git-filter-client\n") + encode(b"version=2\n") + FLUSH_PKT
"""The first thing said."""

OFFER = (
    encode_all([b"capability=clean\n", b"capability=smudge\n", b"capability=delay\n"]) + FLUSH_PKT
)
"""All of git's: there are filters that take nothing less."""


def check_welcome(lines: Sequence[bytes]) -> None:
    """Of the filter's first section. Raises :class:`Malformed`."""
    said = [chomp(line) for line in lines]
    if said[:1] != [b"git-filter-server"]:
        raise Malformed(
            f"unexpected line '{quoted(said[0]) if said else ''}', expected git-filter-server"
        )
    if said[1:] != [b"version=2"]:
        raise Malformed("a filter that speaks no version 2")


def can_smudge(lines: Iterable[bytes]) -> bool:
    """By the capabilities that the filter names."""
    return b"capability=smudge" in map(chomp, lines)


def format_smudge(path: bytes, about: Iterable[bytes], object_id: bytes) -> bytes:
    """The section in front of a content. ``about``: where it is from, as ``ref=...`` and
    ``treeish=...``. Raises ValueError for a path that no packet holds."""
    lines = [b"command=smudge", b"pathname=" + path, *about, b"blob=" + object_id]
    return encode_all([line + b"\n" for line in lines]) + FLUSH_PKT


def parse_status(lines: Iterable[bytes]) -> bytes | None:
    """The last one said; None when there is none, which leaves the one before."""
    status: bytes | None = None
    for line in lines:
        key, equals, value = chomp(line).partition(b"=")
        if equals and key == b"status":
            status = value
    return status
