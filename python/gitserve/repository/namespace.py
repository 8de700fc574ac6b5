"""Several repositories in one: gitnamespaces(7).

In: the refs of a repository, and ``GIT_NAMESPACE``. Out: the same interface, on the refs of that
namespace alone, which have their short names in it. Objects are shared by all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from gitserve._core import RefSnapshot, RefStore, Snapshot
from gitserve.errors import RepositoryError
from gitserve.record import TYPE_CHECKING
from gitserve.repository.refname import is_well_formed

if TYPE_CHECKING:
    from gitserve.options import Reflogs


def namespace_prefix(environ: Mapping[str, str]) -> bytes:
    """What stands in front of the names of its refs; nothing outside of namespaces.

    ``a/b`` is the namespace b in the namespace a. Raises RepositoryError for a name that is none.
    """
    named = environ.get("GIT_NAMESPACE", "")
    parts = [part for part in os.fsencode(named).split(b"/") if part]
    prefix = b"".join(b"refs/namespaces/" + part + b"/" for part in parts)
    if prefix and not is_well_formed(prefix.removesuffix(b"/")):
        raise RepositoryError(f'bad git namespace path "{named}"')
    return prefix


class NamespacedRefs:
    """As :class:`~gitserve._core.RefStore`, for whom only one namespace exists."""

    __slots__ = ("_known", "_object_format", "_prefix", "_store")

    def __init__(self, store: RefStore, prefix: bytes, object_format: str) -> None:
        self._store = store
        self._prefix = prefix
        self._object_format = object_format
        self._known: tuple[RefSnapshot, RefSnapshot] | None = None

    def snapshot(self) -> RefSnapshot:
        """The refs of the namespace as of now."""
        everything = self._store.snapshot()
        if self._known is None or self._known[0] is not everything:
            self._known = everything, self._view(everything)
        return self._known[1]

    def _view(self, everything: RefSnapshot) -> RefSnapshot:
        prefix = self._prefix
        below = ((name[len(prefix) :], value) for name, value in everything.items(prefix))
        target = everything.symbolic(prefix + b"HEAD")
        if target is None:
            head = everything.get(prefix + b"HEAD")
        else:
            head = target.removeprefix(prefix)
        refs = [(name, value) for name, value in below if name.startswith(b"refs/")]
        return RefSnapshot.given(refs, head, self._object_format)

    def update(
        self,
        updates: Sequence[tuple[bytes, bytes | None, bytes | None]],
        *,
        atomic: bool = False,
        committer: bytes | None = None,
        message: bytes | None = None,
        reflog: Reflogs = "existing",
        fsync: bool = True,
        objects: Snapshot | None = None,
        witness: Callable[[str, bytes], bool] | None = None,
        sharing: int = 0,
    ) -> list[tuple[str, str] | None]:
        """See :meth:`gitserve._core.RefStore.update`."""
        return self._store.update(
            [(self._prefix + name, old, new) for name, old, new in updates],
            atomic=atomic,
            committer=committer,
            message=message,
            reflog=reflog,
            fsync=fsync,
            objects=objects,
            witness=witness,
            sharing=sharing,
        )
