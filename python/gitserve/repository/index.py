"""The staging area, as far as a commit needs it: paths, modes and ids.

In: the content of ``index`` (gitformat-index, versions 2 to 4). Out: :class:`IndexEntry` values,
and the trees they make. Must not know refs or working trees.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from gitserve.errors import RepositoryError
from gitserve.record import Record

_STAT_LEN = 40
_EXTENDED = 0x4000
_STAGE_MASK = 0x3000
_NAME_MASK = 0x0FFF


class IndexEntry(Record):
    """One staged file."""

    path: bytes
    mode: int
    object_id: bytes
    """Raw, 20 or 32 bytes."""
    stage: int
    """0, or 1 to 3 in a merge that is not resolved."""


def parse_index(data: bytes, file: str, id_len: int) -> list[IndexEntry]:
    """The entries of an index, in its order. Raises RepositoryError naming ``file``."""
    try:
        return _parse(data, id_len)
    except (struct.error, IndexError, ValueError) as error:
        raise RepositoryError(f"{file}: broken index: {error}") from error


def _parse(data: bytes, id_len: int) -> list[IndexEntry]:
    magic, version, count = struct.unpack_from(">4sLL", data)
    if magic != b"DIRC" or version not in (2, 3, 4):
        raise ValueError(f"signature {magic!r}, version {version}")
    entries: list[IndexEntry] = []
    at, path = 12, b""
    for _ in range(count):
        start = at
        (mode,) = struct.unpack_from(">L", data, at + 24)
        at += _STAT_LEN
        object_id = data[at : at + id_len]
        at += id_len
        (flags,) = struct.unpack_from(">H", data, at)
        at += 2
        if flags & _EXTENDED:
            at += 2
        end = data.index(b"\0", at + (0 if version == 4 else min(flags & _NAME_MASK, len(data))))
        if version == 4:
            strip, at = _offset(data, at)
            end = data.index(b"\0", at)
            path = path[: len(path) - strip] + data[at:end]
            at = end + 1
        else:
            path = data[at:end]
            # padded with one to eight NULs, so that entries begin at multiples of eight
            at = start + ((end - start) // 8 + 1) * 8
        entries.append(IndexEntry(path, mode, object_id, (flags & _STAGE_MASK) >> 12))
    return entries


def _offset(data: bytes, at: int) -> tuple[int, int]:
    """The offset encoding of packs: base 128, each continuation adds one."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = (value + 1) << 7 | data[at] & 0x7F
    return value, at + 1


def write_trees(entries: Sequence[IndexEntry], write: Callable[[bytes], bytes]) -> bytes:
    """Stores the trees that hold ``entries``; the raw id of the root.

    ``write`` takes a tree's content and returns its raw id. Raises RepositoryError while a merge
    is not resolved.
    """
    root: dict[bytes, object] = {}
    for entry in entries:
        if entry.stage:
            raise RepositoryError(f"{entry.path!r} is not merged")
        folder = root
        *parents, name = entry.path.split(b"/")
        for parent in parents:
            below = folder.setdefault(parent, {})
            if not isinstance(below, dict):
                raise RepositoryError(f"{entry.path!r} lies below a file")
            folder = below
        folder[name] = entry
    return _write_tree(root, write)


def _write_tree(folder: dict[bytes, object], write: Callable[[bytes], bytes]) -> bytes:
    items: list[tuple[bytes, bytes]] = []
    for name, item in folder.items():
        if isinstance(item, IndexEntry):
            items.append((name, b"%o %b\0%b" % (item.mode, name, item.object_id)))
        elif isinstance(item, dict):
            # git sorts a folder as if its name ended in a slash
            items.append((name + b"/", b"40000 %b\0%b" % (name, _write_tree(item, write))))
    return write(b"".join(line for _, line in sorted(items)))
