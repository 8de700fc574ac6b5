"""The commits at which a shallow repository's own history ends.

In: the ``shallow`` file (one id a line), and how it shall change. Out: ids as hexadecimal bytes;
the file, rewritten under git's lock. Git's document: the "Shallow" sections of git-clone(1) and
gitrepository-layout(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from gitserve._core import LockedFile
from gitserve.errors import RepositoryError
from gitserve.repository.files import Witness

_HEX = frozenset(b"0123456789abcdef")


class ShallowFile:
    """The server's shallow commits, read again only when the file changed."""

    __slots__ = ("_ids", "_path", "_witness")

    def __init__(self, common_dir: str) -> None:
        self._path = os.path.join(common_dir, "shallow")
        self._witness: Witness | None = None
        self._ids: tuple[bytes, ...] = ()

    def ids(self) -> tuple[bytes, ...]:
        """The commits without parents here; empty for a whole repository."""
        if self._witness is not None and self._witness.stands():
            return self._ids
        witness = Witness()
        ids = tuple((witness.read(self._path) or b"").split())
        for object_id in ids:
            if len(object_id) not in (40, 64) or not _HEX.issuperset(object_id):
                raise RepositoryError(f"{self._path}: bad shallow line")
        self._ids, self._witness = ids, witness
        return ids


def moved(
    ids: Iterable[bytes], shallow: Iterable[bytes], unshallow: Iterable[bytes] = ()
) -> list[bytes]:
    """A boundary with these commits added, and those gone."""
    kept = dict.fromkeys(ids) | dict.fromkeys(shallow)
    for commit_id in unshallow:
        kept.pop(commit_id, None)
    return list(kept)


def move_boundary(
    common_dir: str,
    shallow: Iterable[bytes],
    unshallow: Iterable[bytes] = (),
    *,
    sharing: int = 0,
) -> None:
    """Changes the file. Raises RepositoryError, also when somebody else holds git's lock.

    ``sharing``: who may use it, as :func:`gitserve.repository.sharing.sharing` says it.
    """
    locked = LockedFile(common_dir, "shallow", sharing=sharing)
    try:
        after = sorted(moved(locked.read().split(), shallow, unshallow))
        # Refs that need the boundary move only once the disk has it. A repository with its whole
        # history has no such file.
        locked.replace(b"".join([commit_id + b"\n" for commit_id in after]))
    finally:
        locked.release()
