"""The commits at which a shallow repository's own history ends.

In: the ``shallow`` file (one id a line), and how it shall change. Out: ids as hexadecimal bytes;
the file, rewritten under git's lock. Git's document: the "Shallow" sections of git-clone(1) and
gitrepository-layout(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

from gitserve.errors import RepositoryError
from gitserve.repository.files import Witness
from gitserve.repository.sharing import share

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
    path = os.path.join(common_dir, "shallow")
    lock = path + ".lock"
    try:
        file = open(lock, "xb")  # noqa: SIM115 - closed below, before it is renamed
    except OSError as error:
        raise RepositoryError(f"{lock}: {error.strerror}") from error
    try:
        with file:
            try:
                with open(path, "rb") as old:
                    before = old.read().split()
            except FileNotFoundError:
                before = []
            after = sorted(moved(before, shallow, unshallow))
            file.write(b"".join([commit_id + b"\n" for commit_id in after]))
            file.flush()
            os.fsync(file.fileno())
        share(lock, sharing)
        if after:
            os.rename(lock, path)
        else:
            # A repository with its whole history has no such file.
            with suppress(FileNotFoundError):
                os.unlink(path)
            os.unlink(lock)
        # Refs that need the boundary move only once the disk has it.
        folder = os.open(common_dir, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            os.unlink(lock)
        raise RepositoryError(f"{path}: {error.strerror}") from error
