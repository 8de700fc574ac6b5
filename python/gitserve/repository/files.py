"""Small files that decide every request, at the price of one ``stat`` each.

In: paths. Out: their content, and later whether any of them has changed. A file counts as
unchanged when device, inode, size and modification time are what they were, with git's care for
a file read within the same clock tick as it was written (it may be written again unseen).
"""

from __future__ import annotations

import os
import time

from gitserve.errors import RepositoryError

Identity = tuple[int, int, int, int]
"""Device, inode, size, modification time in nanoseconds."""

MAX_SMALL_FILE = 16 << 20
"""Bytes. A configuration or shallow file beyond it is refused rather than read into memory."""

RACY_NS = 50_000_000
"""A file modified this recently may change again without its time changing: file systems stamp
with the kernel's tick (1 to 10 ms), some network ones more coarsely."""


def identity(path: str) -> Identity | None:
    """What tells this version of a file from others; None when there is no such file."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RepositoryError(f"{path}: {error.strerror}") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


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
    stamp = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return b"".join(pieces), stamp


class Witness:
    """The files that something was made from, so that it can be kept until one changes."""

    __slots__ = ("_racy", "_seen")

    def __init__(self) -> None:
        self._seen: list[tuple[str, Identity | None]] = []
        self._racy = False

    def read(self, path: str) -> bytes | None:
        """The content, remembered as consulted; None (remembered too) when there is no file."""
        read_at = time.time_ns()
        content = read_small(path)
        if content is None:
            self._seen.append((path, None))
            return None
        data, stamp = content
        self._seen.append((path, stamp))
        if read_at - stamp[3] < RACY_NS:
            self._racy = True
        return data

    def stands(self) -> bool:
        """Is every file still what it was when it was read?"""
        if self._racy:
            return False
        return all(identity(path) == stamp for path, stamp in self._seen)
