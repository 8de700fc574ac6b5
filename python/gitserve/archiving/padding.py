"""Columns in formats: ``%<(20,trunc)`` and its kind.

In: such a placeholder, then the value of the next one. Out: the value, padded or cut. Git's
document: git-log(1), "Pretty formats".
"""

from __future__ import annotations

import re
import unicodedata

from gitserve.record import Record

MAX_WIDTH = 16 * 1024
"""git's own limit."""

TERMINAL = 80
"""Columns, where there is no terminal."""

_FORM = re.compile(
    rb"(?P<way>><|>>|<|>)(?P<column>\|?)\((?P<width> *[-+]?\d{1,9}) *"
    rb"(?P<end>(?:,(?P<cut>trunc|ltrunc|mtrunc))?\)|,[^)]*\))"
)
_WAYS = {b"<": "left", b">": "right", b">>": "steal", b"><": "both"}


class Padding(Record):
    """What happens to the next value."""

    width: int = 0
    way: str = "left"
    column: bool = False
    """The width counts from the beginning of the line."""
    cut: bytes = b""

    @classmethod
    def parse(cls, rest: bytes) -> tuple[Padding, int]:
        """What stands behind a ``%``, and its length: 0 when it is something else."""
        found = _FORM.match(rest) if rest[:1] in (b"<", b">") else None
        if found is None:
            return cls(), 0
        width, column = int(found["width"]), bool(found["column"])
        if column and width < 0:
            width += TERMINAL
            if width <= 0:
                return cls(), found.end()
        if not 0 < width <= MAX_WIDTH:
            return cls(), 0
        # what would cut in no known way is no placeholder, and pads all the same
        length = 0 if found["cut"] is None and found["end"] != b")" else found.end()
        return cls(width, _WAYS[found["way"]], column, found["cut"] or b""), length

    def after(self) -> Padding:
        """It counts once."""
        return Padding() if self.width else self

    def apply(self, value: bytes, made: bytearray) -> bytes:
        """``made``: what stands before it; spaces at its end may be taken."""
        room = self.width
        if self.column:
            room -= _width_of(bytes(made[made.rfind(b"\n") + 1 :]))
        width = _width_of(value)
        if self.way == "steal" and width > room:
            while room < width and made.endswith(b" "):
                made.pop()
                room += 1
        if width > room:
            return _cut(value, room, self.cut) if self.cut else value
        gap = max(0, room) - width
        before = {"left": 0, "right": gap, "steal": gap, "both": gap // 2}[self.way]
        return b" " * before + value + b" " * (gap - before)


def _cut(value: bytes, room: int, how: bytes) -> bytes:
    text = value.decode("utf-8", "surrogateescape")
    kept = max(0, room - 2)
    if how == b"trunc":
        begin = _first(text, kept)
        # what has no width stays, such as the ends of lines
        rest = "".join([char for char in text[len(begin) :] if not _width(char)])
        cut = f"{begin}..{rest}"
    elif how == b"ltrunc":
        cut = ".." + _first(text[::-1], kept)[::-1]
    else:
        half = room // 2 - 1
        cut = _first(text, half) + ".." + _first(text[::-1], kept - half)[::-1]
    return cut.encode("utf-8", "surrogateescape")


def _first(text: str, room: int) -> str:
    used = 0
    for at, char in enumerate(text):
        used += _width(char)
        if used > room:
            return text[:at]
    return text


def _width_of(text: bytes) -> int:
    return sum(map(_width, text.decode("utf-8", "surrogateescape")))


def _width(char: str) -> int:
    if char.isascii():
        return int(char.isprintable())
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
