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
_COLOR = re.compile(rb"\x1b\[[0-9;]*m")
_CHARACTER = re.compile(r"\x1b\[[0-9;]*m|.", re.DOTALL)
_WAYS = {b"<": "left", b">": "right", b">>": "steal", b"><": "both"}


class Padding(Record):
    """What happens to the next value."""

    width: int = 0
    way: str = ""
    """Nothing, where it is empty."""
    column: bool = False
    """The width counts from the beginning of the line."""
    cut: bytes = b""

    @classmethod
    def parse(cls, rest: bytes) -> tuple[Padding | None, int]:
        """What stands behind a ``%``, and its length: 0 when it is something else."""
        found = _FORM.match(rest)
        if found is None:
            return None, 0
        width, column = int(found["width"]), bool(found["column"])
        if column and width < 0:
            width += TERMINAL
            if width <= 0:
                return cls(), found.end()
        if not 0 < width <= MAX_WIDTH:
            return None, 0
        # what would cut in no known way is no placeholder, and pads all the same
        length = 0 if found["cut"] is None and found["end"] != b")" else found.end()
        return cls(width, _WAYS[found["way"]], column, found["cut"] or b""), length

    def line(self, made: bytearray) -> bytes:
        """What stands before it on the line, if that matters. A NUL ends a text in git."""
        if not self.column:
            return b""
        end = made.find(b"\0")
        end = len(made) if end < 0 else end
        return bytes(made[made.rfind(b"\n", 0, end) + 1 : end])

    def room(self, line: bytes) -> int:
        """Columns, behind :meth:`line`."""
        return self.width - _width_of(line)

    def apply(self, value: bytes, room: int, made: bytearray) -> bytes:
        """``made``: what stands before it; spaces at its end may be taken."""
        width = _width_of(value)
        if self.way == "steal" and width > room:
            while room < width and made.endswith(b" "):
                made.pop()
                room += 1
        if width > room:
            return _cut(value, room, self.cut) if self.cut else value
        gap = room - width
        before = {"right": gap, "steal": gap, "both": gap // 2}.get(self.way, 0)
        return b" " * before + value + b" " * (gap - before)


def _cut(value: bytes, room: int, how: bytes) -> bytes:
    gone = _width_of(value) - (room - 2)
    if how == b"trunc":
        begin = max(0, room - 2)
    elif how == b"ltrunc":
        begin = 0
    else:
        begin = int(room / 2) - 1  # rounded to zero
    made: list[str] = []
    column, is_cut = 0, False
    text = value.decode("utf-8", "surrogateescape")
    for found in _CHARACTER.finditer(text):
        char = found[0]
        width = char_width(char) if len(char) == 1 else 0
        # what has no width stays, such as the ends of lines
        if width and begin <= column < begin + gone:
            made += [] if is_cut else [".."]
            is_cut = True
        else:
            made.append(char)
        column += width
    return "".join(made).encode("utf-8", "surrogateescape")


def _width_of(text: bytes) -> int:
    return sum(map(char_width, _COLOR.sub(b"", text).decode("utf-8", "surrogateescape")))


def char_width(char: str) -> int:
    """Columns that it takes."""
    if char.isascii():
        return int(char.isprintable())
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1
