"""Small files that decide every request, at the price of one ``stat`` each.

In: paths. Out: their content, and later whether any of them has changed. A file counts as
unchanged when device, inode, size and times are what they were, with git's care for a file read
within the same clock tick as it was written (it may be written again unseen).
"""

from __future__ import annotations

import os
import time

from gitserve._core import FileStamps
from gitserve.errors import RepositoryError

Identity = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of content and inode in nanoseconds."""

MAX_SMALL_FILE = 16 << 20
"""Bytes. A configuration or shallow file beyond it is refused rather than read into memory."""

RACY_NS = 50_000_000
"""A file modified this recently may change again without its time changing: file systems stamp
with the kernel's tick (1 to 10 ms), some network ones more coarsely."""


def read_small(path: str, limit: int = MAX_SMALL_FILE) -> tuple[bytes, Identity] | None:
    """A whole file and the identity of what was read; None when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RepositoryError(f"{path}: {error.strerror}") from error
    try:
        found = os.fstat(descriptor)
        pieces: list[bytes] = []
        room = limit + 1
        while room and (piece := os.read(descriptor, min(room, 1 << 16))):
            pieces.append(piece)
            room -= len(piece)
    except OSError as error:
        raise RepositoryError(f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if not room:
        raise RepositoryError(f"{path}: more than {limit} bytes")
    return b"".join(pieces), _identity(found)


class Witness:
    """The files that something was made from, so that it can be kept until one changes."""

    __slots__ = ("_seen", "_stamps", "racy")

    def __init__(self) -> None:
        self._seen: list[tuple[str, Identity | None]] = []
        self._stamps: FileStamps | None = None
        self.racy = False
        """Something was so new when it was read that it may change unseen."""

    def read(self, path: str) -> bytes | None:
        """The content, remembered as consulted; None (remembered too) when there is no file."""
        read_at = time.time_ns()
        content = read_small(path)
        if content is None:
            self._see(path, None, read_at)
            return None
        data, stamp = content
        self._see(path, stamp, read_at)
        return data

    def look_at(self, path: str) -> None:
        """Remembers a folder, whose times change when a name comes or goes. Raises OSError."""
        looked_at = time.time_ns()
        self._see(path, _identity(os.stat(path)), looked_at)

    def stands(self) -> bool:
        """Is every file still what it was when it was read?"""
        if self.racy:
            return False
        if self._stamps is None:
            self._stamps = FileStamps(self._seen)
        return self._stamps.stand()

    def _see(self, path: str, stamp: Identity | None, at: int) -> None:
        self._seen.append((path, stamp))
        self._stamps = None
        if stamp is not None and at - max(stamp[3], stamp[4]) < RACY_NS:
            self.racy = True


def _identity(found: os.stat_result) -> Identity:
    return (
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )  # fmt: skip
