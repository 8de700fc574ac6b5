"""Which attributes a path of a tree has.

In: the ``.gitattributes`` of a folder and of those above it, the files that hold for all of a
repository. Out: what each attribute is for a path. Git's document: gitattributes(5). Must not know
where the texts come from, nor what an attribute does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from gitserve.archiving.wildcards import matcher
from gitserve.record import EMPTY, TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import TypeAlias

    Value: TypeAlias = bool | bytes | None
    """Set, unset, a text; None for what is left open, or open again (``!name``)."""

    Values: TypeAlias = tuple[tuple[bytes, Value], ...]
    """Of one line, as they stand there."""

LINE_MAX = 2048
"""git's own limit."""

FILE_MAX = 100 << 20
"""git's own limit: a larger file says nothing."""

_BLANK = b" \t\r"
_BLANKS = re.compile(rb"[ \t\r]+")
_MACRO = b"[attr]"
_ESCAPES: Mapping[bytes, bytes] = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v",
    b"\\": b"\\", b'"': b'"',
}  # fmt: skip
_IN_NAMES = frozenset(b"-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Rule(Record):
    """One line."""

    pattern: Callable[[bytes], bool]
    """Matches the path below :attr:`folder`, or the last part of it."""
    whole_path: bool
    folders_only: bool
    folder: bytes
    """With a slash at its end, or empty."""
    values: Values


class Text(Record):
    """One file."""

    rules: tuple[Rule, ...] = ()
    macros: Mapping[bytes, Values] = EMPTY
    """``[attr]name``: what follows from an attribute that is set."""


_BUILT_IN: Mapping[bytes, Values] = {
    b"binary": ((b"diff", False), (b"merge", False), (b"text", False))
}


class Attributes:
    """The rules that hold in one folder: its own, and those of the folders above."""

    __slots__ = ("_last", "_macros", "_rules")

    def __init__(self, first: Text | None = None, last: Text | None = None) -> None:
        """``first``: what every folder outdoes. ``last``: ``info/attributes``, which outdoes
        every folder's."""
        self._rules = () if first is None else first.rules
        self._last = Text() if last is None else last
        self._macros = {
            **_BUILT_IN, **({} if first is None else first.macros), **self._last.macros,
        }  # fmt: skip

    def below(self, text: bytes, folder: bytes) -> Attributes:
        """With a folder's own file."""
        found = parse(text, folder)
        made = Attributes.__new__(Attributes)
        made._rules = (*self._rules, *found.rules)
        made._last = self._last
        made._macros = self._macros
        if not folder:  # no other folder may say what a name stands for
            made._macros = {**self._macros, **found.macros, **self._last.macros}
        return made

    def of(self, path: bytes, *, is_folder: bool) -> Mapping[bytes, Value]:
        """The last rule that says anything of an attribute counts."""
        found: dict[bytes, Value] = {}

        for rules in (self._last.rules, self._rules):
            for rule in reversed(rules):
                if _matches(rule, path, is_folder=is_folder):
                    self._fill(found, rule.values)
        return found

    def _fill(self, found: dict[bytes, Value], values: Values) -> None:
        """What is not known yet; macros may stand for macros, as deep as a file likes."""
        pending = list(values)
        while pending:
            name, value = pending.pop()
            if name not in found:
                found[name] = value
                if value is True:
                    pending += self._macros.get(name, ())


def parse(text: bytes, folder: bytes = b"") -> Text:
    """Its lines; those that mean nothing are left out, as in git."""
    rules: list[Rule] = []
    macros: dict[bytes, Values] = {}
    if len(text) < FILE_MAX:
        for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            _take(line.strip(_BLANK), folder, rules, macros)
    return Text(tuple(rules), macros)


def _take(line: bytes, folder: bytes, rules: list[Rule], macros: dict[bytes, Values]) -> None:
    if not line or line.startswith(b"#") or len(line) >= LINE_MAX:
        return
    pattern, words = _unquoted(line)
    values = _values(words)
    if values is None or pattern.startswith(b"!"):
        return
    if line.startswith(_MACRO) and pattern != _MACRO:
        name = pattern.removeprefix(_MACRO)
        if is_name(name):
            macros[name] = values
        return
    plain = pattern.removesuffix(b"/")
    rules.append(
        Rule(
            matcher(plain.removeprefix(b"/")),
            b"/" in plain,
            pattern.endswith(b"/"),
            folder,
            values,
        )
    )


def _unquoted(line: bytes) -> tuple[bytes, list[bytes]]:
    """The pattern, which may stand in quotes as a string of C does, and the words behind it."""
    made = bytearray()
    at = 1
    while line.startswith(b'"') and at < len(line):
        byte = line[at : at + 1]
        at += 1
        if byte == b'"':
            return bytes(made), _words(line[at:])
        if byte == b"\\":
            byte, digits = line[at : at + 1], line[at : at + 3]
            if len(digits) == 3 and not digits.strip(b"01234567") and digits[:1] < b"4":
                made.append(int(digits, 8))
                at += 3
                continue
            if byte not in _ESCAPES:
                break
            byte = _ESCAPES[byte]
            at += 1
        made += byte
    pattern, *words = _words(line)
    return pattern, words


def _words(line: bytes) -> list[bytes]:
    """Not by ``split``, to which more than git's blanks is white."""
    return [word for word in _BLANKS.split(line) if word]


def _values(words: Iterable[bytes]) -> Values | None:
    """None for a line with a name that is none."""
    values: list[tuple[bytes, Value]] = []
    for word in words:
        name, equals, text = word.partition(b"=")
        value: Value = text if equals else True
        if word[:1] in (b"-", b"!"):
            name, value = name[1:], False if word[:1] == b"-" else None
        if not is_name(name):
            return None
        values.append((name, value))
    return tuple(values)


def is_name(name: bytes) -> bool:
    """May an attribute be called so?"""
    return bool(name) and not name.startswith(b"-") and _IN_NAMES.issuperset(name)


def _matches(rule: Rule, path: bytes, *, is_folder: bool) -> bool:
    if (rule.folders_only and not is_folder) or not path.startswith(rule.folder):
        return False
    below = path[len(rule.folder) :]
    return rule.pattern(below if rule.whole_path else below.rpartition(b"/")[2])
