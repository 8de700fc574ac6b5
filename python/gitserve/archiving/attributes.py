"""Which files a tree's own attributes keep out of archives.

In: the ``.gitattributes`` of a folder and of those above it, ``info/attributes``. Out: whether a
path has ``export-ignore``. Git's document: gitattributes(5). Must not know where the texts come
from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gitserve.archiving.wildcards import matcher
from gitserve.record import Record

LINE_MAX = 2048
"""git's own limit."""


class Rule(Record):
    """One line."""

    pattern: Callable[[bytes], bool]
    """Matches the path below :attr:`folder`, or the last part of it."""
    whole_path: bool
    folders_only: bool
    folder: bytes
    """With a slash at its end, or empty."""
    values: dict[bytes, bool | None]
    """Attributes that are set, unset, or left open."""


class Attributes:
    """The rules that hold in one folder: its own, and those of the folders above."""

    def __init__(self, rules: tuple[Rule, ...] = (), last: tuple[Rule, ...] = ()) -> None:
        """``last``: ``info/attributes``, which outdoes every folder's."""
        self._rules = rules
        self._last = last

    def below(self, text: bytes, folder: bytes) -> Attributes:
        """With a folder's own file."""
        return Attributes((*self._rules, *parse(text, folder)), self._last)

    def has(self, name: bytes, path: bytes, *, is_folder: bool) -> bool:
        """Is the attribute set? The last rule that says anything counts."""
        for rule in (*reversed(self._last), *reversed(self._rules)):
            if name in rule.values and _matches(rule, path, is_folder=is_folder):
                return rule.values[name] is True
        return False


def parse(text: bytes, folder: bytes) -> tuple[Rule, ...]:
    """Its lines; those that mean nothing are left out, as in git."""
    return tuple(_rules(text.splitlines(), folder))


def _rules(lines: Iterable[bytes], folder: bytes) -> Iterable[Rule]:
    for raw in lines:
        line = raw.strip(b" \t\r")
        if not line or line.startswith((b"#", b"!", b"[attr]")) or len(line) >= LINE_MAX:
            continue
        pattern, *words = line.split()
        whole = b"/" in pattern.rstrip(b"/")
        values: dict[bytes, bool | None] = {}
        for word in words:
            if word.startswith(b"-"):
                values[word[1:]] = False
            elif word.startswith(b"!"):
                values[word[1:]] = None
            else:
                name, equals, value = word.partition(b"=")
                values[name] = value != b"false" if equals else True
        yield Rule(
            matcher(pattern.rstrip(b"/").removeprefix(b"/")),
            whole,
            pattern.endswith(b"/"),
            folder,
            values,
        )


def _matches(rule: Rule, path: bytes, *, is_folder: bool) -> bool:
    if (rule.folders_only and not is_folder) or not path.startswith(rule.folder):
        return False
    below = path[len(rule.folder) :]
    return rule.pattern(below if rule.whole_path else below.rpartition(b"/")[2])
