"""A repository's refs as a mapping, for people who write Python around a server.

In: names and ids as bytes. Out: ids, or whether a compare-and-swap won. Names and results are
those of dulwich's ``RefsContainer``. The serving path does not come here: it works on the core's
snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator

from gitserve._core import RefStore
from gitserve.errors import RepositoryError
from gitserve.repository.native import NativeRepository

MAX_SYMREF_DEPTH = 5
"""Git's own limit for refs that name refs."""


class References:
    """The refs of one repository; every look-up sees what is on disk now."""

    __slots__ = ("_repository",)

    def __init__(self, repository: NativeRepository) -> None:
        self._repository = repository

    @property
    def _store(self) -> RefStore:
        return self._repository.all_refs

    def allkeys(self) -> set[bytes]:
        """Every full name, ``HEAD`` included when it leads somewhere."""
        return set(self.as_dict())

    def keys(self, base: bytes | None = None) -> set[bytes]:
        """Full names; with ``base``, the rest of those below it."""
        return self.allkeys() if base is None else self.subkeys(base)

    def subkeys(self, base: bytes) -> set[bytes]:
        """The names below ``base``, without it."""
        return set(self.as_dict(base))

    def as_dict(self, base: bytes | None = None) -> dict[bytes, bytes]:
        """Name to id; with ``base``, of the refs below it, without it."""
        snapshot = self._store.snapshot()
        if base is not None:
            prefix = base.rstrip(b"/") + b"/"
            return {name[len(prefix) :]: value for name, value in snapshot.items(prefix)}
        refs = dict(snapshot.items())
        head = snapshot.get(b"HEAD")
        return refs if head is None else {b"HEAD": head, **refs}

    def __iter__(self) -> Iterator[bytes]:
        return iter(sorted(self.allkeys()))

    def __contains__(self, name: bytes) -> bool:
        return self._store.snapshot().get(name) is not None

    def __getitem__(self, name: bytes) -> bytes:
        value = self._store.snapshot().get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: bytes, default: bytes | None = None) -> bytes | None:
        """The id behind a full name."""
        value = self._store.snapshot().get(name)
        return default if value is None else value

    def __setitem__(self, name: bytes, value: bytes) -> None:
        refusal = self._update(name, None, value)
        if refusal is not None:
            raise RepositoryError(f"{name.decode(errors='replace')}: {refusal[1]}")

    def __delitem__(self, name: bytes) -> None:
        refusal = self._update(name, None, None)
        if refusal is not None:
            raise RepositoryError(f"{name.decode(errors='replace')}: {refusal[1]}")

    def read_ref(self, name: bytes) -> bytes | None:
        """What the ref itself says: ``ref: <name>``, an id, or None."""
        snapshot = self._store.snapshot()
        target = snapshot.symbolic(name)
        return snapshot.get(name) if target is None else b"ref: " + target

    def follow(self, name: bytes) -> tuple[list[bytes], bytes | None]:
        """The names that lead from ``name`` to its id, and the id."""
        snapshot = self._store.snapshot()
        names = [name]
        while (target := snapshot.symbolic(names[-1])) is not None:
            if len(names) > MAX_SYMREF_DEPTH:
                raise RepositoryError(f"{name.decode(errors='replace')}: too many symbolic refs")
            names.append(target)
        return names, snapshot.get(name)

    def get_symrefs(self) -> dict[bytes, bytes]:
        """Symbolic refs and their targets."""
        snapshot = self._store.snapshot()
        names = [b"HEAD", *(name for name, _ in snapshot.items())]
        targets = ((name, snapshot.symbolic(name)) for name in names)
        return {name: target for name, target in targets if target is not None}

    def get_peeled(self, name: bytes) -> bytes | None:
        """The id behind the ref's tag; the ref's own id when it names no tag."""
        snapshot = self._store.snapshot()
        value = snapshot.get(name)
        if value is None:
            return None
        return snapshot.peeled(name, self._repository.objects.snapshot()) or value

    def set_symbolic_ref(self, name: bytes, other: bytes, message: bytes | None = None) -> None:
        """Makes ``name`` follow ``other``, which need not exist."""
        self._store.set_symbolic(name, other, message=message or b"")

    def set_if_equals(
        self, name: bytes, old_ref: bytes | None, new_ref: bytes, message: bytes | None = None
    ) -> bool:
        """Moves a ref that is still ``old_ref`` (None: whatever it is); did it?"""
        return self._update(name, old_ref, new_ref, message or b"") is None

    def add_if_new(self, name: bytes, ref: bytes, message: bytes | None = None) -> bool:
        """Makes a ref that does not exist; did it?"""
        return self._update(name, b"0" * len(ref), ref, message or b"") is None

    def remove_if_equals(
        self, name: bytes, old_ref: bytes | None, message: bytes | None = None
    ) -> bool:
        """Deletes a ref that is still ``old_ref`` (None: whatever it is); did it?"""
        return self._update(name, old_ref, None, message or b"") is None

    def _update(
        self, name: bytes, old: bytes | None, new: bytes | None, message: bytes = b""
    ) -> tuple[str, str] | None:
        # what is behind a tag is written with it, where refs are kept in tables
        objects = self._repository.objects.snapshot()
        return self._store.update([(name, old, new)], message=message, objects=objects)[0]
