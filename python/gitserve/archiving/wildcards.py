"""Whether a path matches a pattern with wildcards, in a time that no pattern can blow up.

In: a pattern as of gitignore(5), whoever wrote it. Out: what says of a path whether it matches. A
regular expression tries every way to share a path out among the stars; where that could be many,
all ways are followed at once, a bit for each place in the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable

STAR, ANY, FOLDERS = b"[^/]*", b".*", b"(?:.*/)?"
_RUNS = (STAR, ANY, FOLDERS)

RUNS_MAX = 2
"""Wildcards of any length that a regular expression may have,"""
PATH_MAX = 255
"""and bytes of a path that it may be tried on."""


def matcher(pattern: bytes) -> Callable[[bytes], bool]:
    """A star stops at a slash, two do not."""
    parts = _parts(pattern)
    try:
        expression = re.compile(b"".join(parts), re.DOTALL)
    except re.error:
        return pattern.__eq__
    parallel: list[_Parallel] = []
    short = sum(part in _RUNS for part in parts) <= RUNS_MAX

    def matches(path: bytes) -> bool:
        if short and len(path) <= PATH_MAX:
            return expression.fullmatch(path) is not None
        if not parallel:
            parallel.append(_Parallel(parts))
        return parallel[0].matches(path)

    return matches


def _parts(pattern: bytes) -> list[bytes]:
    """A regular expression for each byte, set or wildcard."""
    out: list[bytes] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if pattern.startswith(b"**", at):
            part = FOLDERS if pattern.startswith(b"**/", at) else ANY
            at += 3 if part is FOLDERS else 2
            if out[-1:] != [part]:  # twice is no more than once
                out.append(part)
            continue
        end = pattern.find(b"]", at + 2) if byte == b"[" else -1
        if byte == b"*":
            out.append(STAR)
        elif byte == b"?":
            out.append(b"[^/]")
        elif end > 0:
            inside = pattern[at + 1 : end].replace(b"\\", b"\\\\")
            negated = inside[:1] in (b"!", b"^")
            out.append(b"[" + (b"^" if negated else b"") + inside[negated:] + b"]")
            at = end
        elif byte == b"\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at : at + 1]))
        else:
            out.append(re.escape(byte))
        at += 1
    return out


class _Parallel:
    """Every place in the pattern that the path so far can have led to, as the bits of a number."""

    def __init__(self, parts: list[bytes]) -> None:
        self._forward = [0] * 256
        """By byte: the places from which it leads to the next."""
        self._stay = [0] * 256
        self._skip_one = self._skip_two = 0
        """Places that may be left without a byte."""
        place = 0
        for part in parts:
            bit = 1 << place
            if part == FOLDERS:
                self._skip_one |= bit
                self._skip_two |= bit
                self._allow(self._stay, bit << 1, b".")
                self._allow(self._forward, bit << 1, b"/")
                place += 2
                continue
            if part in _RUNS:
                self._skip_one |= bit
                self._allow(self._stay, bit, part.removesuffix(b"*"))
            else:
                self._allow(self._forward, bit, part)
            place += 1
        self._end = 1 << place

    @staticmethod
    def _allow(table: list[int], bit: int, part: bytes) -> None:
        for byte in re.findall(part, _BYTES, re.DOTALL):
            table[byte[0]] |= bit

    def _spread(self, places: int) -> int:
        while True:
            more = places | (places & self._skip_one) << 1 | (places & self._skip_two) << 2
            if more == places:
                return places
            places = more

    def matches(self, path: bytes) -> bool:
        places = self._spread(1)
        for byte in path:
            places = (places & self._forward[byte]) << 1 | (places & self._stay[byte])
            if not places:
                return False
            places = self._spread(places)
        return bool(places & self._end)


_BYTES = bytes(range(256))
