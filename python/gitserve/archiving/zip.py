"""Trees as zip archives, byte for byte as ``git archive`` writes them.

In: the entries of a tree, one after the other. Out: pieces of an archive. Git's document:
git-archive(1); PKWARE's APPNOTE for the records. Times are local, as in git, with the true one
beside.
"""

from __future__ import annotations

import stat
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile

from gitserve.archiving.entry import Content, Entry
from gitserve.archiving.request import refusal

_STORED, _DEFLATED = 0, 8
_VERSION = 10
_VERSION_64 = 45
_UNIX_CREATOR = 0x0317
"""Said only of entries whose mode matters: links and programs."""
_UTF8 = 1 << 11
_TOLD_BEHIND = 1 << 3
_IN_MEMORY = 8 << 20
"""Bytes of a compressed file that wait for its size in memory; what is more waits in a file."""
_PIECE = 256 << 10
_FOLDER = 16
_LOOKED_AT = 8000
"""Bytes that decide whether a file is text."""
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
WIDE_FROM = 1 << 32
"""Sizes and places that are told in eight bytes."""


def zip_archive(
    entries: Iterable[Entry], when: int, commit_id: bytes | None, level: int
) -> Iterator[bytes]:
    """``level``: of compression, -1 for the usual one."""
    local = time.localtime(when)
    year = min(max(local.tm_year - 1980, 0), 127)  # the format knows no other
    date = year << 9 | local.tm_mon << 5 | local.tm_mday
    clock = local.tm_hour << 11 | local.tm_min << 5 | local.tm_sec // 2
    extra = struct.pack("<HHBI", 0x5455, 5, 1, when & _FULL32)
    directory: list[bytes] = []
    offset = made_by = 0
    for entry in entries:
        if len(entry.path) > _FULL16:
            raise refusal(b"path too long (%d chars, %b)" % (len(entry.path), entry.object_id))
        packing = _Packing(entry, level)
        size = entry.content.size
        flags = 0 if entry.path.isascii() else _UTF8
        told = (0, packing.announced) if packing.told_behind else (packing.checksum, packing.size)
        flags |= _TOLD_BEHIND if packing.told_behind else 0
        is_wide = max(told[1], size) >= WIDE_FROM
        common = (_VERSION_64 if is_wide else _VERSION, flags, packing.method, clock, date)
        local_extra = extra + (struct.pack("<HHQQ", 1, 16, size, told[1]) if is_wide else b"")
        sizes = (_FULL32, _FULL32) if is_wide else (told[1], size)
        head = struct.pack("<IHHHHHI", 0x04034B50, *common, told[0])
        head += struct.pack("<IIHH", *sizes, len(entry.path), len(local_extra))
        head += entry.path + local_extra
        yield head
        start, offset = offset, offset + len(head)
        for piece in packing.pieces():
            offset += len(piece)
            yield piece
        if packing.told_behind:
            is_wide = max(packing.size, size) >= WIDE_FROM
            form = "<IIQQ" if is_wide else "<IIII"
            behind = struct.pack(form, 0x08074B50, packing.checksum, packing.size, size)
            offset += len(behind)
            yield behind
        creator, outside = _mode(entry)
        made_by = max(made_by, creator)
        wide = [number for number in (size, packing.size, start) if number >= WIDE_FROM]
        more = extra
        if wide:
            more += struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide)
        directory.append(
            struct.pack("<IHHHHHHI", 0x02014B50, creator, *common, packing.checksum)
            + struct.pack("<IIHH", _told(packing.size), _told(size), len(entry.path), len(more))
            + struct.pack("<HHHII", 0, 0, packing.is_text, outside, _told(start))
            + entry.path
            + more
        )
    listed = b"".join(directory)
    yield listed + _end(len(directory), len(listed), offset, made_by, commit_id or b"")


def _told(number: int) -> int:
    """In four bytes; what does not fit stands elsewhere."""
    return _FULL32 if number >= WIDE_FROM else number


class _Packing:
    """What one entry becomes. Its checksum and its size are known when all pieces were taken, or
    before, unless these are told behind it."""

    def __init__(self, entry: Entry, level: int) -> None:
        self._content = Content() if entry.is_folder else entry.content
        self._level = level
        packs = bool(self._content.size and level and stat.S_ISREG(entry.mode))
        self.told_behind = self._content.is_big
        self.method = _DEFLATED if packs else _STORED
        self.checksum = 0
        self.size = self._content.size
        self.announced = 0 if packs else self._content.size
        self.is_text = not entry.is_folder if entry.is_text is None else entry.is_text
        self._looks = entry.is_text is None
        self._spooled: SpooledTemporaryFile[bytes] | None = None
        if not self.told_behind:
            self._prepare()

    def _prepare(self) -> None:
        spool = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        size = 0
        for piece in self._packed():
            size += len(piece)
            if self.method == _DEFLATED:
                spool.write(piece)
        if self.method == _DEFLATED and size >= self._content.size:
            self.method = _STORED
        if self.method == _DEFLATED:
            self.size, self._spooled = size, spool
        else:
            spool.close()

    def pieces(self) -> Iterator[bytes]:
        """The bytes in the archive."""
        if self.told_behind:
            self.size = 0
            for piece in self._packed():
                self.size += len(piece)
                yield piece
        elif self._spooled is None:
            yield from self._content.pieces()
        else:
            with self._spooled as spool:
                spool.seek(0)
                while piece := spool.read(_PIECE):
                    yield piece

    def _packed(self) -> Iterator[bytes]:
        """Compressed, if so; counted and looked at."""
        packer = zlib.compressobj(self._level, zlib.DEFLATED, -zlib.MAX_WBITS, 8)
        looked_at = 0
        for piece in self._content.pieces():
            self.checksum = zlib.crc32(piece, self.checksum)
            if self._looks and looked_at < _LOOKED_AT:
                self.is_text &= b"\0" not in piece[: _LOOKED_AT - looked_at]
                looked_at += len(piece)
            packed = packer.compress(piece) if self.method == _DEFLATED else piece
            if packed:
                yield packed
        if self.method == _DEFLATED:
            yield packer.flush()


def _mode(entry: Entry) -> tuple[int, int]:
    """Creator and external attributes."""
    if entry.is_folder:
        return 0, _FOLDER
    if stat.S_ISLNK(entry.mode):
        return _UNIX_CREATOR, (entry.mode | 0o777) << 16
    return (_UNIX_CREATOR, entry.mode << 16) if entry.mode & 0o111 else (0, 0)


def _end(count: int, size: int, offset: int, made_by: int, comment: bytes) -> bytes:
    wide = b""
    if count > _FULL16 or size >= WIDE_FROM or offset >= WIDE_FROM:
        record = (0x06064B50, 44, made_by, _VERSION_64, 0, 0, count, count, size, offset)
        wide = struct.pack("<IQHHIIQQQQ", *record)
        wide += struct.pack("<IIQI", 0x07064B50, 0, offset + size, 1)
    small = min(count, _FULL16)
    numbers = (0, 0, small, small, _told(size), _told(offset), len(comment))
    return wide + struct.pack("<IHHHHIIH", 0x06054B50, *numbers) + comment
