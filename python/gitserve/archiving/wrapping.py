"""Lines of a given width: ``%w(72,4,8)``.

In: such a placeholder, and the text that it is about. Out: the text. Git's documents: git-log(1),
"Pretty formats"; git-shortlog(1), ``-w``. The end of a line within a paragraph is a space when a
letter or digit follows, and stays what it is before anything else.
"""

from __future__ import annotations

import re

from gitserve.archiving.padding import char_width
from gitserve.record import Record

MAX_WIDTH = 16 * 1024
"""git's own limit."""

_FORM = re.compile(rb"w\((?:(\d{0,9})(?:,(\d{0,9})(?:,(\d{0,9}))?)?)?\)")
_WORD = re.compile(r"((?:\x1b\[[0-9;]*m|[^ \t\n\v\f\r])*)([ \t\n\v\f\r]?)")
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class Wrapping(Record):
    """How a text is laid out."""

    width: int = 0
    """0: lines stay, and are only indented."""
    first: int = 0
    """Spaces before the first line,"""
    others: int = 0
    """and before each other."""

    @classmethod
    def parse(cls, rest: bytes) -> tuple[Wrapping, int]:
        """What stands behind a ``%``, and its length: 0 when it is something else."""
        found = _FORM.match(rest)
        if found is None:
            return cls(), 0
        numbers = [int(digits or b"0") for digits in found.groups()]
        return (cls(*numbers), found.end()) if max(numbers) <= MAX_WIDTH else (cls(), 0)

    def apply(self, text: bytes) -> bytes:
        """``text`` ends at its first NUL, as it does in git."""
        text = text.partition(b"\0")[0]
        if not self.width:
            return self._indented(text)
        try:
            return self._wrapped(text.decode("utf-8")).encode("utf-8")
        except UnicodeDecodeError:
            return self._wrapped(text.decode("latin-1")).encode("latin-1")

    def _indented(self, text: bytes) -> bytes:
        lines = _LINE.findall(text)
        made = [b" " * (self.others if n else self.first) + line for n, line in enumerate(lines)]
        return b"".join(made)

    def _wrapped(self, text: str) -> str:
        made: list[str] = []
        indent = self.first
        column, gap = indent, None
        """``gap``: what stands between two words of a line; None at its start."""
        at = 0
        while True:
            found = _WORD.match(text, at)
            assert found is not None
            word, space = found.groups()
            width = sum(map(char_width, _COLOR.sub("", word)))
            if gap is not None and column + width > self.width:
                made.append("\n")
                indent = self.others
                column, gap = indent, None
            if gap is None:
                if not word and not space:
                    break
                made.append(" " * indent)
            else:
                made.append(gap)
            made.append(word)
            column += width
            at = found.end()
            if not space:
                break
            if space == "\n":
                following = text[at : at + 1]
                if not (following.isascii() and following.isalnum()):
                    made.append("\n")
                    if following == "\n":
                        made.append("\n")
                    at += following.isspace()
                    indent = self.others
                    column, gap = indent, None
                    continue
                made.append(" ")  # at once: it is there even when the line ends here
                space = ""
            elif space == "\t":
                column |= 7
            column, gap = column + 1, space
        return "".join(made)
