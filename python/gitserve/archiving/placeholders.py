"""A commit in the words of a format: ``%H``, ``%an``, ``%(describe)`` and the rest.

In: a format, a commit, and what is around it. Out: bytes, appended to what stands before them, for
some placeholders look back at it. Git's document: git-log(1), "Pretty formats".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from gitserve.archiving.around import Around
from gitserve.archiving.colors import color
from gitserve.archiving.commit import Commit, sanitized
from gitserve.archiving.dates import formatted
from gitserve.archiving.encodings import encoder, is_as_stored
from gitserve.archiving.padding import Padding
from gitserve.archiving.request import refusal
from gitserve.archiving.trailers import shown_trailers
from gitserve.archiving.wrapping import Wrapping
from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_PERSON_DATES: Final = b"dDrtiIsh"

_OF_SIGNATURES: Final = (b"G", b"?", b"S", b"K", b"F", b"P", b"T")

LONGEST: Final = 4096
"""Bytes of one placeholder."""

PLACEHOLDERS: Final = 1 << 20
"""Of one archive: a small file can have very many that come to nothing."""

WORDS_COST: Final = 1000
"""As many count those in parentheses for which the message is read anew,"""

BYTES_FOR_ONE: Final = 16
"""and so many bytes count as one where columns are counted."""

_EMPTY: Final = frozenset(
    (b"gD", b"gd", b"gn", b"gN", b"ge", b"gE", b"gs", b"Cred", b"Cgreen", b"Cblue", b"Creset")
)
"""There is no reflog, and no terminal."""


class _State:
    """Of one expansion."""

    __slots__ = ("_begin", "_wrapping", "padding")

    def __init__(self, begin: int) -> None:
        self.padding = Padding()
        self._begin = begin
        self._wrapping = Wrapping()

    def to_wrap(self, made: bytearray) -> int:
        """Bytes that :meth:`wrap` looks at."""
        return max(0, len(made) - self._begin) if self._wrapping.width else 0

    def wrap(self, made: bytearray, following: Wrapping) -> None:
        """Wraps what stands there as was asked for; what follows shall be as is asked for now."""
        if following == self._wrapping:
            return
        if self._begin < len(made):
            made[self._begin :] = self._wrapping.apply(bytes(made[self._begin :]))
        self._begin = len(made)
        self._wrapping = following


class Formatter:
    """For all that is expanded in one archive."""

    def __init__(self, commit: Commit, around: Around) -> None:
        self._commit = commit
        self._around = around
        self._described = False
        self._known: dict[bytes, bytes | None] = {}
        self._signature: Mapping[bytes, bytes] | None = None
        self._left = PLACEHOLDERS
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
        """Appends it to ``made``. Raises ArchiveRefused when all together costs too much."""
        state = _State(len(made))
        at = 0
        while True:
            percent = form.find(b"%", at)
            if percent < 0:
                break
            made += form[at:percent]
            at = percent + 1
            if form[at : at + 1] == b"%":
                made += b"%"
                at += 1
                continue
            used = self._item(form[at : at + LONGEST], made, state)
            if not used:
                made += b"%"
            at += used
        made += form[at:]
        self._charge(state.to_wrap(made) // BYTES_FOR_ONE)
        state.wrap(made, Wrapping())
        if not is_as_stored(self._commit.encoding):
            self._encode(made)

    def _encode(self, made: bytearray) -> None:
        """All that stands there, the file's own words too: a commit in another encoding than UTF-8
        does so in git."""
        self._charge(len(made) // BYTES_FOR_ONE)
        encode = encoder(self._commit.encoding)
        if encode is not None:
            with contextlib.suppress(UnicodeError):  # then it stays, as in git
                made[:] = b"".join(encode([bytes(made)]))

    def _item(self, rest: bytes, made: bytearray, state: _State) -> int:
        """What is behind one ``%``: how much of it was understood."""
        magic = rest[:1] if rest[:1] in (b"+", b"-", b" ") else b""
        rest = rest[len(magic) :]
        if magic and rest[:1] == b"w":
            return 0
        before = len(made)
        used = (self._padded if state.padding.way else self._one)(rest, made, state)
        if magic == b"-" and len(made) == before:
            while made.endswith(b"\n"):
                made.pop()
        elif magic in (b"+", b" ") and len(made) != before:
            made[before:before] = b"\n" if magic == b"+" else b" "
        return len(magic) + used  # where nothing is understood, the percent sign is gone too

    def _padded(self, rest: bytes, made: bytearray, state: _State) -> int:
        """Colours belong to the value that follows them."""
        line = state.padding.line(made)
        self._charge(len(line) // BYTES_FOR_ONE)
        room = state.padding.room(line)
        value = bytearray()
        used = 0
        while True:
            is_color = rest[used : used + 1] == b"C"
            used += self._one(rest[used:], value, state)
            if not is_color or rest[used : used + 1] != b"%":
                break
            used += 1
        # a value that is itself a request for columns changes how, but not how wide
        value[:] = state.padding.apply(bytes(value), room, made)
        state.padding = Padding()
        made += value
        return used

    def _charge(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise refusal(b"too many placeholders of export-subst")

    def _one(self, rest: bytes, made: bytearray, state: _State) -> int:
        """One placeholder: its length, 0 for what is none."""
        self._charge(1)
        if rest[:1] in (b"<", b">"):
            padding, length = Padding.parse(rest)
            if padding is not None:
                state.padding = padding
            return length
        if rest[:1] == b"w":
            wrapping, length = Wrapping.parse(rest)
            if length:
                self._charge(state.to_wrap(made) // BYTES_FOR_ONE)
                state.wrap(made, wrapping)
            return length
        value, length = self._value(rest)
        made += value
        return length

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
        if first in (b"a", b"c"):
            return self._of_person(first, rest[1:2])
        if rest[:2] in _EMPTY:
            return b"", 2
        if first == b"G":
            return self._of_signature(rest[1:2])
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
        words = rest[1:end]
        if words.partition(b":")[0] == b"describe":
            value = None if self._described else self._spelled(words)
            self._described = True  # once in an archive, as in git: it may take long
        elif words in self._known:
            value = self._known[words]
        else:
            value = self._known[words] = self._spelled(words)
        return (value, end + 1) if value is not None else (b"", 0)

    def _spelled(self, words: bytes) -> bytes | None:
        self._charge(WORDS_COST)
        name, _, options = words.partition(b":")
        if name == b"describe":
            return self._around.described(self._commit.object_id, options)
        if name == b"trailers":
            return shown_trailers(self._commit.message, options)
        if name == b"decorate":
            return self._around.decorated_as(self._commit.object_id, options)
        return None

    def _of_signature(self, what: bytes) -> tuple[bytes, int]:
        """``%G?`` and its kin: who has signed is asked once, and only if a file wants to know."""
        if what not in _OF_SIGNATURES:
            return b"", 0
        if self._signature is None:
            self._signature = self._around.signature(self._commit)
        return self._signature[what], 2


def _is_byte(digits: bytes) -> bool:
    return len(digits) == 2 and _HEX.issuperset(digits)
