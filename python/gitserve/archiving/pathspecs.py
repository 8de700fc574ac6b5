"""Which files of a tree somebody asks for.

In: paths and patterns as of gitglossary(7), "pathspec". Out: whether a path is meant. Must not
know trees, nor where attributes stand.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence

from gitserve.archiving.attributes import is_name
from gitserve.archiving.request import QUOTED_MAX, refusal
from gitserve.archiving.wildcards import matcher
from gitserve.record import EMPTY, TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import TypeAlias

    from gitserve.archiving.attributes import Value

    Attributes: TypeAlias = Mapping[bytes, Value]
    """Of one path."""

_SHORT = {b"!": b"exclude", b"^": b"exclude", b"/": b"top"}
_KNOWN = frozenset((b"top", b"literal", b"icase", b"glob", b"exclude", b"attr"))

_ATTRIBUTES = b"attr:"

_WORD = re.compile(rb"(?:[^\\,)]|\\.?)*", re.DOTALL)
"""Up to a comma or parenthesis that no backslash stands before."""

_IN_VALUES = frozenset(b"-_,0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

WILD = b"*?[\\"


class Pathspec(Record):
    """One of them."""

    said: bytes
    path: bytes
    """Without a slash at its end."""
    only_below: bool
    """It had one: a folder is meant."""
    excludes: bool
    icase: bool
    pattern: Callable[[bytes], bool] | None
    plain: bytes
    """What stands before the first wildcard."""
    attributes: tuple[tuple[bytes, Value], ...] = ()
    """What each of these has to be."""

    def matches(self, path: bytes, values: Attributes = EMPTY, *, is_folder: bool = False) -> bool:
        """``values``: its attributes. ``is_folder``: of a folder or a submodule, without a slash at
        its end."""
        if any(values.get(name) != value for name, value in self.attributes):
            return False
        path = path.lower() if self.icase else path
        if not self.path or path.startswith(self.path + b"/"):
            return True
        if path == self.path and (is_folder or not self.only_below):
            return True
        return self.pattern is not None and self.pattern(path)

    def may_match_below(self, folder: bytes) -> bool:
        """``folder``: without a slash at its end."""
        folder = (folder.lower() if self.icase else folder) + b"/"
        return folder.startswith(self.plain) or self.plain.startswith(folder)


class Pathspecs:
    """All of a request; nothing said is everything."""

    def __init__(self, words: Sequence[bytes]) -> None:
        """Raises :class:`~gitserve.archiving.request.ArchiveRefused`."""
        parsed = list(map(_parse, words))
        self._wanted = [one for one in parsed if not one.excludes]
        self._excluded = [one for one in parsed if one.excludes]
        self._unmatched = {one.said: one for one in self._wanted}
        self.by_attributes = any(one.attributes for one in parsed)
        """Attributes have to be known for an answer."""

    def match(self, path: bytes, values: Attributes = EMPTY, *, is_folder: bool = False) -> bool:
        """Is this file or submodule meant? Remembers what has been found."""
        found = not self._wanted
        for one in self._wanted:
            if found and one.said not in self._unmatched:
                continue
            if one.matches(path, values, is_folder=is_folder):
                found = True
                self._unmatched.pop(one.said, None)
        return found and not any(
            one.matches(path, values, is_folder=is_folder) for one in self._excluded
        )

    def may_match_below(self, folder: bytes, values: Attributes = EMPTY) -> bool:
        """Is it worth looking into this folder? A pattern that means the folder itself has found
        something, though not what is in it."""
        for one in list(self._unmatched.values()):
            if one.matches(folder, values, is_folder=True):
                del self._unmatched[one.said]
        return not self._wanted or any(one.may_match_below(folder) for one in self._wanted)

    @property
    def unmatched(self) -> bytes | None:
        """One that has matched nothing so far."""
        return next(iter(self._unmatched), None)


def _parse(said: bytes) -> Pathspec:
    if not said:
        raise refusal(b"empty string is not a valid pathspec")
    words, rest = _magic(said)
    magic = {word for word in words if not word.startswith(_ATTRIBUTES)}
    named = [word for word in words if word.startswith(_ATTRIBUTES)]
    if len(named) > 1:
        raise refusal(b"Only one 'attr:' specification is allowed.")
    if unknown := [word for word in words if word in magic - _KNOWN]:
        told = unknown[0][:QUOTED_MAX], said[:QUOTED_MAX]
        raise refusal(b"Invalid pathspec magic '%b' in '%b'" % told)
    if {b"literal", b"glob"} <= magic:
        raise refusal(b"%b: 'literal' and 'glob' are incompatible" % said[:QUOTED_MAX])
    if b"top" in magic:
        path = rest.removesuffix(b"/")
    else:
        path = posixpath.normpath(rest) if rest else b""
        path = b"" if path == b"." else path
    if path.startswith(b"/") or path.split(b"/")[0] == b"..":
        raise refusal(b"%b: '%b' is outside repository" % (said[:QUOTED_MAX], rest[:QUOTED_MAX]))
    attributes = tuple(_required(named[0].removeprefix(_ATTRIBUTES))) if named else ()
    if not path and b"exclude" in magic and not attributes:
        raise refusal(b"pathspec '%b' did not match any files" % said[:QUOTED_MAX])
    icase = b"icase" in magic
    path = path.lower() if icase else path
    ends = (b"/",) if b"top" in magic else (b"/", b"/.", b"/..")
    only_below = rest.endswith(ends)
    wild = next((at for at, byte in enumerate(path) if byte in WILD), len(path))
    if b"literal" in magic or wild == len(path):
        pattern, plain = None, path
    else:
        # with a slash at its end a pattern means nothing, as in git
        pattern = None if only_below else matcher(path, crossing=b"glob" not in magic)
        plain = path[:wild]
    return Pathspec(said, path, only_below, b"exclude" in magic, icase, pattern, plain, attributes)


def _required(text: bytes) -> list[tuple[bytes, Value]]:
    """What ``attr:`` asks for: ``name``, ``-name``, ``!name``, ``name=value``."""
    if not text:
        raise refusal(b"attr spec must not be empty")
    found: list[tuple[bytes, Value]] = []
    for word in filter(None, text.split(b" ")):
        value: Value = True
        name, equals, given = word.partition(b"=")
        if word[:1] in (b"-", b"!"):
            name, value = word[1:], False if word[:1] == b"-" else None
        elif equals:
            value = _value(given)
        if not is_name(name):
            raise refusal(b"invalid attribute name %b" % name[:QUOTED_MAX])
        found.append((name, value))
    return found


def _value(text: bytes) -> bytes:
    if text.endswith(b"\\"):
        raise refusal(b"Escape character '\\' not allowed as last character in attr value")
    plain = re.sub(rb"\\(.)", rb"\1", text, flags=re.DOTALL)
    for byte in plain:
        if byte not in _IN_VALUES:
            raise refusal(b"cannot use '%c' for value matching" % byte)
    return plain


def _magic(said: bytes) -> tuple[list[bytes], bytes]:
    """The words before a path, and the path."""
    if not said.startswith(b":"):
        return [], said
    if said.startswith(b":("):
        words, end = [], 1
        while said[end : end + 1] in (b"(", b","):
            begin, end = end + 1, _end_of_word(said, end + 1)
            words.append(said[begin:end])
        if said[end : end + 1] != b")":
            raise refusal(b"Missing ')' at the end of pathspec magic in '%b'" % said[:QUOTED_MAX])
        return [word for word in words if word.strip()], said[end + 1 :]
    magic: list[bytes] = []
    at = 1
    while at < len(said):
        short = said[at : at + 1]
        if short == b":":
            return magic, said[at + 1 :]
        if short in _SHORT:
            magic.append(_SHORT[short])
        elif short.isalnum() or short in b".*?[\\_-(){}$|+" or short >= b"\x80":
            break
        else:
            raise refusal(b"Unimplemented pathspec magic '%b' in '%b'" % (short, said[:QUOTED_MAX]))
        at += 1
    return magic, said[at:]


def _end_of_word(said: bytes, begin: int) -> int:
    found = _WORD.match(said, begin)
    return begin if found is None else found.end()
