"""What an archive holds.

In: what a tree says of a file. Out: the same for the formats. Contents pass through in pieces: a
file may be larger than memory.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable

from gitserve.record import Record


class Content(Record):
    """The bytes of a file."""

    size: int = 0
    pieces: Callable[[], Iterable[bytes]] = tuple
    """From the beginning, each time."""
    is_big: bool = False
    """Above ``core.bigFileThreshold``: zip archives say its checksum behind it."""

    @classmethod
    def of(cls, whole: bytes) -> Content:
        """What is in memory already."""
        return cls(len(whole), lambda: (whole,))

    def whole(self) -> bytes:
        """For what is known to be small."""
        return b"".join(self.pieces())


class Entry(Record):
    """A file, link or folder of the archive."""

    path: bytes
    """With the prefix; a folder's ends in a slash."""
    mode: int
    """As in the tree."""
    object_id: bytes
    content: Content = Content()
    is_text: bool | None = None
    """As zip archives say it; None: what is in it decides."""

    @property
    def is_folder(self) -> bool:
        """Folders, and submodules, which are empty ones."""
        return stat.S_IFMT(self.mode) in (stat.S_IFDIR, 0o160000)
