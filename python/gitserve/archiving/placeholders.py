"""A commit in the words of a format: ``%H``, ``%an``, ``%(describe)`` and the rest.

In: a format, a commit, and what is around it. Out: bytes, appended to what stands before them, for
some placeholders look back at it. Git's document: git-log(1), "Pretty formats". ``%w`` wraps
nothing here, and signatures are not verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gitserve.archiving.around import Around
from gitserve.archiving.colors import color
from gitserve.archiving.commit import Commit, sanitized
from gitserve.archiving.dates import formatted
from gitserve.archiving.padding import Padding
from gitserve.archiving.trailers import shown_trailers
from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_PERSON_DATES: Final = b"dDrtiIsh"

_UNSIGNED: Final[Mapping[bytes, bytes]] = {
    b"GG": b"", b"G?": b"N", b"GS": b"", b"GK": b"", b"GF": b"", b"GP": b"", b"GT": b"undefined",
}  # fmt: skip

_EMPTY: Final = frozenset(
    (b"gD", b"gd", b"gn", b"gN", b"ge", b"gE", b"gs", b"Cred", b"Cgreen", b"Cblue", b"Creset")
)
"""There is no reflog, and no terminal."""


class Formatter:
    """For all that is expanded in one archive."""

    def __init__(self, commit: Commit, around: Around) -> None:
        self._commit = commit
        self._around = around
        self._described = False
        plain: dict[bytes, Callable[[], bytes]] = {
            b"H": lambda: commit.object_id,
            b"h": lambda: around.abbreviated(commit.object_id),
            b"T": lambda: commit.tree,
            b"t": lambda: around.abbreviated(commit.tree),
            b"P": lambda: b" ".join(commit.parents),
            b"p": lambda: b" ".join(map(around.abbreviated, commit.parents)),
            b"d": lambda: around.decorated(commit.object_id),
            b"D": lambda: around.decorated(commit.object_id, prefix=b"", suffix=b""),
            b"e": lambda: commit.encoding,
            b"s": lambda: commit.subject,
            b"f": lambda: sanitized(commit.message),
            b"b": lambda: commit.body,
            b"B": lambda: commit.message,
            b"m": lambda: b">",
            b"n": lambda: b"\n",
        }
        self._plain = plain

    def expand(self, form: bytes, made: bytearray) -> None:
        """Appends it to ``made``."""
        padding = Padding()
        at = 0
        while True:
            percent = form.find(b"%", at)
            if percent < 0:
                made += form[at:]
                return
            made += form[at:percent]
            at = percent + 1
            if form[at : at + 1] == b"%":
                made += b"%"
                at += 1
                continue
            change, length = Padding.parse(form[at:])
            if change.width or length:
                padding = change
            if length:
                at += length
                continue
            used = self._expand_one(form[at:], made, padding)
            if not used:
                made += b"%"
            padding = padding.after() if used else padding
            at += used

    def _expand_one(self, rest: bytes, made: bytearray, padding: Padding) -> int:
        """One placeholder behind its ``%``: how much of it was understood."""
        magic = rest[:1] if rest[:1] in (b"+", b"-", b" ") else b""
        value, length = self._value(rest[len(magic) :])
        if not length:
            return len(magic)  # which is gone, with its percent sign
        if padding.width:
            value = padding.apply(value, made)
        if not value and magic == b"-":
            while made.endswith(b"\n"):
                made.pop()
        elif value and magic:
            made += b"\n" if magic == b"+" else b" " if magic == b" " else b""
        made += value
        return len(magic) + length

    def _value(self, rest: bytes) -> tuple[bytes, int]:
        """The value and how long the placeholder is: 0 for what is none."""
        first = rest[:1]
        if first in self._plain and first:
            return self._plain[first](), 1
        if first == b"x":
            digits = rest[1:3]
            return (bytes.fromhex(digits.decode()), 3) if _is_byte(digits) else (b"", 0)
        if first == b"C":
            return color(rest)
        if first == b"w":
            end = rest.find(b")")
            return (b"", end + 1) if rest[1:2] == b"(" and end > 0 else (b"", 0)
        if first in (b"a", b"c"):
            return self._of_person(first, rest[1:2])
        if rest[:2] in _EMPTY:
            return b"", 2
        if rest[:2] in _UNSIGNED:
            value = _UNSIGNED[rest[:2]]
            return (b"E" if self._commit.signed and rest[:2] == b"G?" else value), 2
        if first == b"(":
            return self._of_words(rest)
        return b"", 0

    def _of_person(self, whose: bytes, what: bytes) -> tuple[bytes, int]:
        person = self._commit.author if whose == b"a" else self._commit.committer
        if not what:
            return b"", 0
        if what in b"nNeElL":
            name, mail = person.name, person.mail
            if what.isupper():
                name, mail = self._around.mapped(name, mail)
            found = {b"n": name, b"e": mail, b"l": mail.partition(b"@")[0]}
            return found[what.lower()], 2
        if what in _PERSON_DATES:
            return formatted(person.stamp, person.zone, what.decode()) or b"", 2
        return b"", 0

    def _of_words(self, rest: bytes) -> tuple[bytes, int]:
        end = rest.find(b")")
        if end < 0:
            return b"", 0
        name, colon, text = rest[1:end].partition(b":")
        value: bytes | None = None
        if name == b"describe" and not self._described:
            self._described = True  # once in an archive, as in git: it may take long
            value = self._around.described(self._commit.object_id, text if colon else b"")
        elif name == b"trailers":
            value = shown_trailers(self._commit.message, text if colon else b"")
        elif name == b"decorate":
            value = self._around.decorated_as(self._commit.object_id, text if colon else b"")
        return (value, end + 1) if value is not None else (b"", 0)


def _is_byte(digits: bytes) -> bool:
    return len(digits) == 2 and _HEX.issuperset(digits)
