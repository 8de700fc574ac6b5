"""The arguments of v2's ls-refs.

In: the lines behind the delimiter. Out: :class:`LsRefsRequest`. It must not know which refs exist;
the answer is encoded where the refs are.

Git's document: gitprotocol-v2, "ls-refs".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from gitserve.record import TYPE_CHECKING, Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import chomp

if TYPE_CHECKING:
    from typing import Final

TOO_MANY_PREFIXES: Final = 65536
"""From here on prefixes are ignored, as in git: they only ever save what the client would drop."""


class LsRefsRequest(Record):
    """Which refs, and what of them."""

    peel: bool = False
    symrefs: bool = False
    unborn: bool = False
    prefixes: tuple[bytes, ...] = ()
    """Refs that begin with one of these; all refs when there are none."""


MAX_REMEMBERED = 64
"""What clients ask of refs is mostly the same: all branches and tags, or one branch."""

MAX_REMEMBERED_LINES = 16

MAX_REMEMBERED_LINE = 128
"""Bytes: clients choose them."""


def parse(lines: list[bytes]) -> LsRefsRequest:
    """Raises :class:`Malformed`."""
    if len(lines) > MAX_REMEMBERED_LINES or max(map(len, lines), default=0) > MAX_REMEMBERED_LINE:
        return _parse(lines)
    return _remembered(tuple(lines))


@lru_cache(MAX_REMEMBERED)
def _remembered(lines: tuple[bytes, ...]) -> LsRefsRequest:
    return _parse(lines)


def _parse(lines: Iterable[bytes]) -> LsRefsRequest:
    peel = symrefs = unborn = False
    prefixes: list[bytes] = []
    for raw in lines:
        line = chomp(raw)
        if line[:11] == b"ref-prefix ":
            prefixes.append(line[11:])
        elif line == b"peel":
            peel = True
        elif line == b"symrefs":
            symrefs = True
        elif line == b"unborn":
            unborn = True
        else:
            raise Malformed(f"ls-refs: unexpected line: '{quoted(line)}'")
    if len(prefixes) >= TOO_MANY_PREFIXES:
        prefixes = []
    return LsRefsRequest(peel, symrefs, unborn, tuple(dict.fromkeys(prefixes)))


def format_arguments(request: LsRefsRequest) -> list[bytes]:
    """The lines, without line feeds."""
    lines: list[bytes] = []
    if request.peel:
        lines.append(b"peel")
    if request.symrefs:
        lines.append(b"symrefs")
    if request.unborn:
        lines.append(b"unborn")
    return lines + [b"ref-prefix " + prefix for prefix in request.prefixes]
