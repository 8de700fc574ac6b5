"""The commits at which a shallow repository's own history ends.

In: the ``shallow`` file (gitformat: one id a line). Out: ids as hexadecimal bytes. Git's document:
the "Shallow" sections of git-clone(1) and gitrepository-layout(5).
"""

from __future__ import annotations

import os

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
