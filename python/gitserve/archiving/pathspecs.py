"""Which files of a tree somebody asks for.

In: paths and patterns as of gitglossary(7), "pathspec". Out: whether a path is meant. Must not
know trees.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence

from gitserve.archiving.request import QUOTED_MAX, refusal
from gitserve.archiving.wildcards import matcher
from gitserve.record import Record

_SHORT = {b"!": b"exclude", b"^": b"exclude", b"/": b"top"}
_KNOWN = frozenset((b"top", b"literal", b"icase", b"glob", b"exclude"))
"""``attr`` is absent."""

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

    def matches(self, path: bytes, *, is_folder: bool = False) -> bool:
        """``is_folder``: of a folder or a submodule, without a slash at its end."""
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

    def match(self, path: bytes, *, is_folder: bool = False) -> bool:
        """Is this file or submodule meant? Remembers what has been found."""
        found = not self._wanted
        for one in self._wanted:
            if found and one.said not in self._unmatched:
                continue
            if one.matches(path, is_folder=is_folder):
                found = True
                self._unmatched.pop(one.said, None)
        return found and not any(one.matches(path, is_folder=is_folder) for one in self._excluded)

    def may_match_below(self, folder: bytes) -> bool:
        """Is it worth looking into this folder? A pattern that means the folder itself has found
        something, though not what is in it."""
        for one in list(self._unmatched.values()):
            if one.matches(folder, is_folder=True):
                del self._unmatched[one.said]
        return not self._wanted or any(one.may_match_below(folder) for one in self._wanted)

    @property
    def unmatched(self) -> bytes | None:
        """One that has matched nothing so far."""
        return next(iter(self._unmatched), None)


def _parse(said: bytes) -> Pathspec:
    if not said:
        raise refusal(b"empty string is not a valid pathspec")
    magic, rest = _magic(said)
    if unknown := magic - _KNOWN:
        raise refusal(b"pathspec magic not supported: '%b'" % min(unknown)[:QUOTED_MAX])
    if {b"literal", b"glob"} <= magic:
        raise refusal(b"%b: 'literal' and 'glob' are incompatible" % said[:QUOTED_MAX])
    if b"top" in magic:
        path = rest.removesuffix(b"/")
    else:
        path = posixpath.normpath(rest) if rest else b""
        path = b"" if path == b"." else path
    if path.startswith(b"/") or path.split(b"/")[0] == b"..":
        raise refusal(b"%b: '%b' is outside repository" % (said[:QUOTED_MAX], rest[:QUOTED_MAX]))
    if not path and b"exclude" in magic:
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
    return Pathspec(said, path, only_below, b"exclude" in magic, icase, pattern, plain)


def _magic(said: bytes) -> tuple[set[bytes], bytes]:
    """The words before a path, and the path."""
    if not said.startswith(b":"):
        return set(), said
    if said.startswith(b":("):
        end = said.find(b")")
        if end < 0:
            raise refusal(b"Missing ')' at the end of pathspec magic in '%b'" % said[:QUOTED_MAX])
        return {word.strip() for word in said[2:end].split(b",") if word.strip()}, said[end + 1 :]
    magic: set[bytes] = set()
    at = 1
    while at < len(said):
        short = said[at : at + 1]
        if short == b":":
            return magic, said[at + 1 :]
        if short in _SHORT:
            magic.add(_SHORT[short])
        elif short.isalnum() or short in b".*?[\\_-(){}$|+" or short >= b"\x80":
            break
        else:
            raise refusal(b"Unimplemented pathspec magic '%b' in '%b'" % (short, said[:QUOTED_MAX]))
        at += 1
    return magic, said[at:]
