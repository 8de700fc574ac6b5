"""Trees as tar archives, byte for byte as ``git archive`` writes them.

In: the entries of a tree, one after the other. Out: pieces of an archive. Git's document:
git-archive; POSIX, "pax Interchange Format". Must not know where objects come from.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterable, Iterator

from gitserve.archiving.entry import Entry

RECORD = 512
BLOCKING = 20 * RECORD
"""An archive's length is a multiple of this."""

UMASK = 0o002
"""git's ``tar.umask``, where nobody configures another."""

_NAME_MAX = 100
_PREFIX_MAX = 155
_SIZE_MAX = 8**11 - 1
"""A larger file's size is told in a header of its own."""


def umask_of(setting: str | None) -> int:
    """``tar.umask``: octal, or ``user`` for this process's own."""
    if setting is None:
        return UMASK
    if setting == "user":
        mask = os.umask(0)
        os.umask(mask)
        return mask
    try:
        return int(setting, 8) & 0o777
    except ValueError:
        return UMASK


def tar(
    entries: Iterable[Entry], when: int, commit_id: bytes | None, umask: int = UMASK
) -> Iterator[bytes]:
    """The archive. ``commit_id`` goes into its comment."""
    size = 0
    for piece in _pieces(entries, when, commit_id, umask):
        size += len(piece)
        yield piece
    # two empty records end it
    end = size + 2 * RECORD
    yield bytes(2 * RECORD + -end % BLOCKING)


def gzipped(pieces: Iterable[bytes], level: int = -1) -> Iterator[bytes]:
    """The same, compressed: no name, no time, so that equal archives are equal."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 8)
    effort = {9: 2, 1: 4}.get(level, 0)
    yield b"\x1f\x8b\x08\0\0\0\0\0%c\x03" % effort
    checksum = size = 0
    for piece in pieces:
        checksum = zlib.crc32(piece, checksum)
        size += len(piece)
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()
    yield checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


def _pieces(
    entries: Iterable[Entry], when: int, commit_id: bytes | None, umask: int
) -> Iterator[bytes]:
    if commit_id is not None:
        comment = _pax(b"comment", commit_id)
        yield _header(b"pax_global_header", b"", 0o666, len(comment), when, b"g")
        yield _padded(comment)
    for entry in entries:
        yield from _entry(entry, when, umask)


def _entry(entry: Entry, when: int, umask: int) -> Iterator[bytes]:
    name, prefix, link, content = entry.path, b"", b"", entry.content
    size = content.size
    kind, mode = b"0", (entry.mode | (0o777 if entry.mode & 0o100 else 0o666)) & ~umask
    extended = b""
    if entry.is_folder:
        kind, mode = b"5", (entry.mode | 0o777) & ~umask
    elif stat.S_ISLNK(entry.mode):
        kind, mode = b"2", entry.mode | 0o777
        link, size = content.whole(), 0
        if len(link) > _NAME_MAX:
            extended += _pax(b"linkpath", link)
            link = b"see %b.paxheader" % entry.object_id
    if len(name) > _NAME_MAX:
        at = _split(name)
        if at:
            prefix, name = name[:at], name[at + 1 :]
        else:
            extended = _pax(b"path", name) + extended
            name = b"%b.data" % entry.object_id
    if size > _SIZE_MAX:
        extended += _pax(b"size", b"%d" % size)
    if extended:
        yield _header(b"%b.paxheader" % entry.object_id, b"", 0o666, len(extended), when, b"x")
        yield _padded(extended)
    yield _header(name, prefix, mode, 0 if size > _SIZE_MAX else size, when, kind, link)
    if size:
        yield from content.pieces()
        yield bytes(-size % RECORD)


def _split(path: bytes) -> int:
    """Where a long path is cut into prefix and name; 0 when it cannot be."""
    end = min(len(path) - 1, _PREFIX_MAX + 1) if path.endswith(b"/") else min(
        len(path), _PREFIX_MAX + 1
    )  # fmt: skip
    at = path.rfind(b"/", 0, end)
    return at if at > 0 and len(path) - at - 1 <= _NAME_MAX else 0


def _pax(key: bytes, value: bytes) -> bytes:
    """``<length> key=value``, where the length counts its own digits."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest) + 1
    while len(rest) + len(b"%d" % length) > length:
        length += 1
    return b"%d%b" % (length, rest)


def _header(
    name: bytes, prefix: bytes, mode: int, size: int, when: int, kind: bytes, link: bytes = b""
) -> bytes:
    head = bytearray(
        name.ljust(100, b"\0")
        + b"%07o\0" % (mode & 0o7777)
        + b"%07o\0%07o\0" % (0, 0)
        + b"%011o\0" % size
        + b"%011o\0" % when
        + b"        "
        + kind
        + link.ljust(100, b"\0")
        + b"ustar\x0000"
        + b"root".ljust(32, b"\0") * 2
        + b"%07o\0%07o\0" % (0, 0)
        + prefix.ljust(155, b"\0")
    )
    head[148:156] = b"%07o\0" % sum(head)
    return bytes(head).ljust(RECORD, b"\0")


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % RECORD)
