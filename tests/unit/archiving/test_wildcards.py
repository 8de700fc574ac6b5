"""Patterns of a hostile ``.gitattributes``."""

from __future__ import annotations

import random
import re

import pytest
from gitserve.archiving.attributes import Attributes, parse
from gitserve.archiving.wildcards import PATH_MAX, _Parallel, _parts, matcher


def test_both_ways_agree() -> None:
    chosen = random.Random(1)
    words = [b"a", b"b", b"/", b"*", b"**", b"**/", b"?", b"[ab]", b"[!a]", b"\\*"]
    matched = 0
    for _ in range(4000):
        parts = _parts(b"".join(chosen.choices(words, k=chosen.randrange(1, 6))))
        assert parts is not None
        path = b"".join(chosen.choices([b"a", b"b", b"/", b"*"], k=chosen.randrange(9)))
        expected = re.fullmatch(b"".join(parts), path, re.DOTALL) is not None
        assert _Parallel(parts).matches(path) is expected, (parts, path)
        matched += expected
    assert matched > 100


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (b"*a" * 500 + b"b", b"a" * 3000),
        (b"**/" * 300 + b"x/y", b"a/" * 1000 + b"b"),
        (b"**/a/" * 300 + b"x", b"a/" * 1000 + b"b"),
        (b"*" * 1000 + b"b", b"a" * 3000),
    ],
)
def test_none_takes_for_ever(pattern: bytes, path: bytes) -> None:
    rules = Attributes().below(pattern + b" export-ignore\n", b"")
    assert b"export-ignore" not in rules.of(path, is_folder=False)


@pytest.mark.parametrize("pattern", [b"[!-~/a-z", b"[a", b"[", b"[[:none:]]", b"a\\"])
def test_what_can_match_nothing(pattern: bytes) -> None:
    assert not any(map(matcher(pattern), [pattern, b"a", b""]))


ALL = set(range(256)) - {0x2F}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (b"[!a]", ALL - {0x61}),
        (b"[!\xff]", ALL - {0xFF}),
        (b"[!-.0-9]", ALL - set(b"-.0123456789")),
        (b"[a-cx]", set(b"abcx")),
        (b"[]^\\\\-]", set(b"]^\\-")),
    ],
)
def test_a_set_is_written_in_ranges(pattern: bytes, expected: set[int]) -> None:
    """Its bytes one by one would take long to compile, and a line has room for hundreds."""
    (part,) = _parts(pattern) or [b""]
    assert len(part) < 50
    assert {byte for byte in range(256) if matcher(pattern)(bytes([byte]))} == expected


def test_names_that_stand_for_names_without_end() -> None:
    lines = [b"[attr]a%d a%d\n" % (n, n + 1) for n in range(5000)]
    found = Attributes().below(b"".join(lines) + b"* a0 -a4999\n", b"").of(b"x", is_folder=False)
    assert len(found) == 5000
    assert (found[b"a4998"], found[b"a4999"]) == (True, False)


def test_long_paths_match_too() -> None:
    assert matcher(b"**/*.o")(b"a/" * PATH_MAX + b"b.o")
    assert not matcher(b"**/*.o")(b"a/" * PATH_MAX + b"b.c")


def test_hostile_lines_are_lines() -> None:
    chosen = random.Random(2)
    pieces = [
        b"a",
        b" ",
        b"\v",
        b"\f",
        b"\0",
        b'"',
        b"\\",
        b"[attr]",
        b"-",
        b"!",
        b"=",
        b"/",
        b"\xff",
    ]
    for _ in range(3000):
        line = b"".join(chosen.choices(pieces, k=chosen.randrange(1, 7)))
        rules = Attributes(parse(line)).below(line + b"\n" + line, b"")
        rules.of(b"a/b", is_folder=False)


@pytest.mark.parametrize("pattern", [b"*.o", b"*", b"*x", b"*.", b"name", b"a/b"])
def test_short_ways_are_the_long_one(pattern: bytes) -> None:
    for crossing in (False, True):
        parts = _parts(pattern, crossing=crossing)
        assert parts is not None
        for path in (b"a.o", b".o", b"a/b.o", b"", b"name", b"a/name", b"a/b", b"x", b"a.", b"n"):
            expected = re.fullmatch(b"".join(parts), path, re.DOTALL) is not None
            assert matcher(pattern, crossing=crossing)(path) is expected, path
