"""Trees, read one level at a time: for names such as ``<ref>:<path>``.

In: objects. Out: entries and what is at a path. Must not know why somebody asks.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator

from gitserve._core import Snapshot
from gitserve.errors import RepositoryError


def entries(objects: Snapshot, tree_id: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(mode, name, id) of each entry. Raises RepositoryError for what is no tree."""
    content = objects.read(tree_id)[1]
    raw = len(tree_id) // 2
    at = 0
    while at < len(content):
        # not cutting off what is read: a large tree would be copied for each of its entries
        end = content.find(b"\0", at)
        mode, space, name = content[at:end].partition(b" ")
        at = end + 1 + raw
        if end < 0 or not space or mode.strip(b"01234567") or not mode or at > len(content):
            raise RepositoryError(f"not a tree object: {tree_id.decode()}")
        yield int(mode, 8), name, content[at - raw : at].hex().encode()


def find(objects: Snapshot, tree_id: bytes, path: bytes) -> bytes | None:
    """The object at a path; slashes at its ends and doubled ones mean nothing."""
    mode = stat.S_IFDIR
    for part in filter(None, path.split(b"/")):
        if not stat.S_ISDIR(mode):
            return None
        children = entries(objects, tree_id)
        found = next(((mode, below) for mode, name, below in children if name == part), None)
        if found is None:
            return None
        mode, tree_id = found
    return tree_id


def tree_of(objects: Snapshot, object_id: bytes) -> bytes | None:
    """The tree of a commit, of a tag of one, or a tree itself."""
    object_id = objects.peel(object_id) or object_id
    header = objects.header(object_id)
    if header is None:
        return None
    if header[0] == "commit":
        return objects.read(object_id)[1].partition(b"\n")[0].removeprefix(b"tree ")
    return object_id if header[0] == "tree" else None
