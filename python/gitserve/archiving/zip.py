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

from gitserve.archiving.request import refusal
from gitserve.archiving.tar import Entry

_STORED, _DEFLATED = 0, 8
_VERSION = 10
_VERSION_64 = 45
_UNIX_CREATOR = 0x0317
"""Said only of entries whose mode matters: links and programs."""
_UTF8 = 1 << 11
_FOLDER = 16
_LOOKED_AT = 8000
"""Bytes that decide whether a file is text."""
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


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
    offset = 0
    for entry in entries:
        if len(entry.path) > _FULL16:
            raise refusal(b"path too long (%d chars, %b)" % (len(entry.path), entry.object_id))
        content = b"" if entry.is_folder else entry.content
        method, packed = _packed(entry, content, level)
        flags = 0 if entry.path.isascii() else _UTF8
        checksum = zlib.crc32(content)
        common = struct.pack(
            "<HHHHHIIIHH",
            _VERSION, flags, method, clock, date, checksum,
            len(packed), len(content), len(entry.path), len(extra),
        )  # fmt: skip
        creator, outside = _mode(entry)
        wide = struct.pack("<HHQ", 1, 8, offset) if offset >= _FULL32 else b""
        directory.append(
            struct.pack("<IH", 0x02014B50, creator)
            + common[:-2]
            + struct.pack(
                "<HHHHII",
                len(extra) + len(wide),
                0,
                0,
                _is_text(entry, content),
                outside,
                min(offset, _FULL32),
            )
            + entry.path
            + extra
            + wide
        )
        head = struct.pack("<I", 0x04034B50) + common + entry.path + extra
        yield head + packed
        offset += len(head) + len(packed)
    listed = b"".join(directory)
    yield listed + _end(len(directory), len(listed), offset, commit_id or b"")


def _packed(entry: Entry, content: bytes, level: int) -> tuple[int, bytes]:
    if not content or level == 0 or not stat.S_ISREG(entry.mode):
        return _STORED, content
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8)
    packed = packer.compress(content) + packer.flush()
    return (_DEFLATED, packed) if len(packed) < len(content) else (_STORED, content)


def _mode(entry: Entry) -> tuple[int, int]:
    """Creator and external attributes."""
    if entry.is_folder:
        return 0, _FOLDER
    if stat.S_ISLNK(entry.mode):
        return _UNIX_CREATOR, (entry.mode | 0o777) << 16
    return (_UNIX_CREATOR, entry.mode << 16) if entry.mode & 0o111 else (0, 0)


def _is_text(entry: Entry, content: bytes) -> bool:
    return not entry.is_folder and b"\0" not in content[:_LOOKED_AT]


def _end(count: int, size: int, offset: int, comment: bytes) -> bytes:
    wide = b""
    if count > _FULL16 or size > _FULL32 or offset > _FULL32:
        versions = (_VERSION_64, _VERSION_64)
        counts = (count, count)
        wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, *versions, 0, 0, *counts, size, offset)
        wide += struct.pack("<IIQI", 0x07064B50, 0, offset + size, 1)
    small = min(count, _FULL16)
    sizes = (min(size, _FULL32), min(offset, _FULL32))
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, small, small, *sizes, len(comment))
    return wide + end + comment
