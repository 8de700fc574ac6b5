"""Somebody's own repository: any Python object that can list its refs and read its objects.

In: an object with the methods of dulwich's ``BackendRepo``. Out: :class:`ForeignRepository`, with
the attributes that services need of a repository. What the object can do is found out once, here at
the door; everything optional (configuration, symbolic refs, shallow commits) may be missing. Ids
are never computed anew. Must not know packets or sessions.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gitserve._core import RefSnapshot, Snapshot
from gitserve.record import Record
from gitserve.repository.config import Config, Origin
from gitserve.repository.worktrees import Worktree

_KIND_NUMBERS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}


class ForeignRepository:
    """One request's view of somebody's repository."""

    __slots__ = ("config", "namespace", "object_format", "objects", "refs", "repo", "shallow")

    def __init__(self, repo: Any) -> None:
        self.repo = repo
        """What the caller gave."""
        self.object_format = _object_format(repo)
        self.config = _config(repo)
        self.shallow: tuple[bytes, ...] = tuple(_call(repo, "get_shallow") or ())
        self.objects = ForeignObjects(repo.object_store, self.object_format)
        self.refs = ForeignRefs(repo, self.object_format)
        self.namespace = b""

    def checked_out(self) -> list[Worktree]:
        """None: work trees are of repositories on disk."""
        return []


class ForeignObjects(Record):
    """Somebody's object store."""

    store: Any
    object_format: str

    def snapshot(self) -> Snapshot:
        """The store as the core reads it; what is asked once is remembered for one request."""
        return Snapshot.foreign(
            self.store.__contains__, _raw_reader(self.store), self.object_format
        )


class ForeignRefs(Record):
    """Somebody's refs."""

    repo: Any
    object_format: str

    def snapshot(self) -> RefSnapshot:
        """All refs as of now. What they peel to is asked of the store once, and while they are the
        same, the answers made of them are kept."""
        refs: Mapping[bytes, bytes] = self.repo.get_refs()
        head = _head_branch(self.repo) or refs.get(b"HEAD")
        store = self.repo.object_store
        last = _seen.get(store)
        if last is not None and last.is_of(refs, head, self.object_format):
            return last.snapshot
        pairs = [
            (bytes(name), bytes(value))
            for name, value in refs.items()
            if name != b"HEAD" and value is not None
        ]
        before = None if last is None else last.snapshot
        snapshot = RefSnapshot.given(pairs, head, self.object_format, before=before)
        # a copy: the mapping may be the very one that the next push changes
        _seen.put(store, _Seen(dict(refs), head, self.object_format, snapshot))
        return snapshot


class _Seen(Record):
    """What a store's refs were when they were asked for last."""

    refs: Mapping[bytes, bytes]
    head: bytes | None
    object_format: str
    snapshot: RefSnapshot

    def is_of(self, refs: Mapping[bytes, bytes], head: bytes | None, object_format: str) -> bool:
        return self.refs == refs and self.head == head and self.object_format == object_format


class _LastSeen:
    """The last :class:`_Seen` of each store, for as long as the store lives.

    By identity: somebody's class may compare by value, or not be hashable. What cannot be referred
    to weakly is not remembered.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[weakref.ref[Any], _Seen]] = {}

    def get(self, store: Any) -> _Seen | None:
        reference, seen = self._by_id.get(id(store), (None, None))
        return seen if reference is not None and reference() is store else None

    def put(self, store: Any, seen: _Seen) -> None:
        key = id(store)
        by_id = self._by_id
        try:
            by_id[key] = weakref.ref(store, lambda gone: _forget(by_id, key, gone)), seen
        except TypeError:
            return


def _forget(by_id: dict[int, tuple[weakref.ref[Any], _Seen]], key: int, gone: Any) -> None:
    """The id may have been given to another store since."""
    kept = by_id.get(key)
    if kept is not None and kept[0] is gone:
        del by_id[key]


_seen = _LastSeen()


def _object_format(repo: Any) -> str:
    given = getattr(repo, "object_format", None)
    name = getattr(given, "name", given)
    if isinstance(name, bytes):
        name = name.decode("ascii", "replace")
    return name.lower() if isinstance(name, str) and name else "sha1"


def _head_branch(repo: Any) -> bytes | None:
    """The branch that HEAD names, where the repository can tell."""
    container = getattr(repo, "refs", None)
    read = getattr(container, "read_ref", None)
    if callable(read):
        try:
            value = read(b"HEAD") or b""
        except KeyError:
            value = b""
        target = value[5:].strip() if value.startswith(b"ref: ") else None
    else:
        symrefs = _call(container, "get_symrefs") if container is not None else None
        target = symrefs.get(b"HEAD") if symrefs else None
    return bytes(target) if target else None


def _raw_reader(store: Any) -> Callable[[bytes], tuple[int, bytes]]:
    if hasattr(store, "get_raw"):
        get_raw: Callable[[bytes], tuple[int, bytes]] = store.get_raw
        return get_raw

    def read(object_id: bytes) -> tuple[int, bytes]:
        found = store[object_id]
        return _KIND_NUMBERS[found.type_name], found.as_raw_string()

    return read


def _config(repo: Any) -> Config:
    given = _call(repo, "get_config_stack") or _call(repo, "get_config")
    return Config(_entries(given)) if given is not None else Config()


def _entries(given: Any) -> Iterable[Origin]:
    """The entries of a dulwich configuration, or of a stack of them, lowest level first."""
    levels = getattr(given, "backends", None)
    for level in [given] if levels is None else reversed(levels):
        for section in level.sections():
            key = _section_key(section)
            for name, value in level.items(section):
                yield f"{key}.{_text(name).lower()}", _text(value), "repository", 0


def _section_key(section: Any) -> str:
    if not isinstance(section, tuple):
        return _text(section).lower()
    name, *subsections = section
    return ".".join([_text(name).lower(), *(_text(part) for part in subsections)])


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "true" if value is True else "false" if value is False else str(value)


def _call(thing: Any, name: str) -> Any:
    """The result of an optional method; None when it is not there."""
    method = getattr(thing, name, None)
    return method() if callable(method) else None
