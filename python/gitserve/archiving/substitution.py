"""``export-subst``: what a file of an archive says about the commit it comes from.

In: contents, a commit. Out: contents with each ``$Format:...$`` expanded. Git's document:
gitattributes(5). What placeholders mean is :mod:`~gitserve.archiving.placeholders`' business.
"""

from __future__ import annotations

from gitserve.archiving.placeholders import Formatter
from gitserve.archiving.request import refusal

MAX_FILE = 64 << 20
"""What is larger is passed on as it is: it would have to be held whole."""

MAX_ADDED = 64 << 20
"""Bytes that all expansions of one archive may come to: a small file can ask for a long message
a million times."""

_BEGIN = b"$Format:"


class Substitution:
    """For the files of one archive."""

    def __init__(self, formatter: Formatter) -> None:
        self._formatter = formatter
        self._left = MAX_ADDED

    def expand(self, content: bytes) -> bytes:
        """Raises ArchiveRefused when it becomes too much."""
        begin = content.find(_BEGIN)
        if begin < 0:
            return content
        made = bytearray()
        at = 0
        while begin >= 0:
            end = content.find(b"$", begin + len(_BEGIN))
            if end < 0:
                break
            made += content[at:begin]
            before = len(made)
            self._formatter.expand(content[begin + len(_BEGIN) : end], made)
            self._left -= max(0, len(made) - before)
            if self._left < 0:
                raise refusal(b"expansions of export-subst are too long")
            at = end + 1
            begin = content.find(_BEGIN, at)
        made += content[at:]
        return bytes(made)
