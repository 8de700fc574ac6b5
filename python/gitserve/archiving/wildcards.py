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


def matcher(pattern: bytes, *, crossing: bool = False) -> Callable[[bytes], bool]:
    """A star stops at a slash, two between slashes do not; with ``crossing``, nothing does."""
    if not any(byte in pattern for byte in b"*?[\\"):
        return pattern.__eq__
    end = pattern[1:]
    if pattern[:1] == b"*" and not any(byte in end for byte in b"*?[\\/"):
        # most patterns are of these two kinds, and some trees have thousands
        return lambda path: (
            path.endswith(end) and (crossing or b"/" not in path[: len(path) - len(end)])
        )
    parts = _parts(pattern, crossing=crossing)
    if parts is None:
        return _nothing
    expression = re.compile(b"".join(parts), re.DOTALL)
    parallel: list[_Parallel] = []
    short = sum(part in _RUNS for part in parts) <= RUNS_MAX

    def matches(path: bytes) -> bool:
        if short and len(path) <= PATH_MAX:
            return expression.fullmatch(path) is not None
        if not parallel:
            parallel.append(_Parallel(parts))
        return parallel[0].matches(path)

    return matches


def _nothing(_: bytes) -> bool:
    return False


def _parts(pattern: bytes, *, crossing: bool = False) -> list[bytes] | None:
    """A regular expression for each byte, set or wildcard; None for what never matches."""
    out: list[bytes] = []
    plain = next((at for at, byte in enumerate(pattern) if byte in b"*?[\\"), len(pattern))
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        if byte == b"*":
            end = at + 1
            while pattern[end : end + 1] == b"*":
                end += 1
            # git compares what stands before the first wildcard by itself, and then forgets it
            alone = (at == plain or pattern[at - 1 : at] == b"/") and end - at >= 2
            if alone and pattern[end : end + 1] == b"/" and not crossing:
                part = FOLDERS
                end += 1
            else:
                part = ANY if crossing or (alone and end == len(pattern)) else STAR
            at = end
            if out[-1:] != [part]:  # twice is no more than once
                out.append(part)
            continue
        if byte == b"?":
            out.append(b"." if crossing else b"[^/]")
        elif byte == b"[":
            found = _set(pattern, at + 1, crossing=crossing)
            if found is None:
                return None
            part, at = found
            out.append(part)
            continue
        elif byte == b"\\":
            at += 1
            if at == len(pattern):
                return None
            out.append(re.escape(pattern[at : at + 1]))
        else:
            out.append(re.escape(byte))
        at += 1
    return out


def _set(pattern: bytes, at: int, *, crossing: bool) -> tuple[bytes, int] | None:
    """Behind a bracket: which bytes match, and where the set ends. None where it does not end."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    chosen: set[int] = set()
    before: int | None = None
    """What a range may begin with."""
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        byte = pattern[at : at + 1]
        end = pattern.find(b"]", at + 2) if pattern.startswith(b"[:", at) else -1
        if end > at + 2 and pattern[end - 1 : end] == b":":
            named = _CLASSES.get(pattern[at + 2 : end - 1])
            if named is None:
                return None
            chosen |= named
            before, at = None, end + 1
            continue
        is_range = byte == b"-" and before is not None and pattern[at + 1 : at + 2] != b"]"
        at += is_range
        byte = pattern[at : at + 1]
        if byte == b"\\":
            at += 1
            byte = pattern[at : at + 1]
        if not byte:
            return None
        if is_range and before is not None:
            chosen |= set(range(before, byte[0] + 1))
            before = None
        else:
            chosen.add(byte[0])
            before = byte[0]
        at += 1
    chosen = set(range(256)) - chosen if negated else chosen
    if not crossing:
        chosen.discard(0x2F)
    if not chosen:
        return None
    return _expression(chosen), at + 1


def _expression(chosen: set[int]) -> bytes:
    """In ranges: byte by byte, a line full of sets would take long to compile."""
    ranges: list[bytes] = []
    for first in sorted(byte for byte in chosen if byte - 1 not in chosen):
        last = first
        while last + 1 in chosen:
            last += 1
        ranges.append(b"\\x%02x-\\x%02x" % (first, last))
    return b"[" + b"".join(ranges) + b"]"


def _class(word: str) -> frozenset[int]:
    return frozenset(byte for byte in range(128) if re.match(word, chr(byte)))


_CLASSES = {
    b"alnum": _class("[a-zA-Z0-9]"),
    b"alpha": _class("[a-zA-Z]"),
    b"blank": _class("[ \t]"),
    b"cntrl": _class("[\x00-\x1f\x7f]"),
    b"digit": _class("[0-9]"),
    b"graph": _class("[!-~]"),
    b"lower": _class("[a-z]"),
    b"print": _class("[ -~]"),
    b"punct": _class("[!-/:-@\\[-`{-~]"),
    b"space": _class("[ \t\n\v\f\r]"),
    b"upper": _class("[A-Z]"),
    b"xdigit": _class("[0-9a-fA-F]"),
}


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
