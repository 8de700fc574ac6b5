"""A repository's objects as a mapping, for people who write Python around a server.

In: ids as hexadecimal bytes. Out: :class:`GitObject` values. The serving path does not come here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gitserve._core import Snapshot
from gitserve.record import Record
from gitserve.repository.native import NativeRepository


class GitObject(Record):
    """One object: its id, what it is, and its content."""

    id: bytes
    type_name: bytes
    """``commit``, ``tree``, ``blob`` or ``tag``."""
    data: bytes

    def as_raw_string(self) -> bytes:
        """The content."""
        return self.data

    @property
    def tree(self) -> bytes:
        """A commit's tree. Raises AttributeError for anything else."""
        return self._headers(b"commit", b"tree")[0]

    @property
    def parents(self) -> list[bytes]:
        """A commit's parents."""
        return self._headers(b"commit", b"parent")

    @property
    def author(self) -> bytes:
        """A commit's author line without its time."""
        return self._headers(b"commit", b"author")[0].rsplit(b" ", 2)[0]

    @property
    def committer(self) -> bytes:
        """A commit's committer line without its time."""
        return self._headers(b"commit", b"committer")[0].rsplit(b" ", 2)[0]

    @property
    def message(self) -> bytes:
        """What stands behind the headers of a commit or tag."""
        return self.data.partition(b"\n\n")[2]

    def _headers(self, kind: bytes, name: bytes) -> list[bytes]:
        if self.type_name != kind:
            raise AttributeError(f"a {self.type_name.decode()} has no {name.decode()}")
        start = name + b" "
        head = self.data.partition(b"\n\n")[0]
        return [line[len(start) :] for line in head.split(b"\n") if line.startswith(start)]


_seen_here: ContextVar[tuple[str, Snapshot] | None] = ContextVar("seen_here", default=None)


@contextmanager
def seen_here(objects_dir: str, snapshot: Snapshot) -> Iterator[None]:
    """While it runs, and only in this thread, look-ups in that folder look at this snapshot."""
    token = _seen_here.set((objects_dir, snapshot))
    try:
        yield
    finally:
        _seen_here.reset(token)


class Objects:
    """The objects of one repository, as of each look-up."""

    __slots__ = ("_repository",)

    def __init__(self, repository: NativeRepository) -> None:
        self._repository = repository

    @property
    def snapshot(self) -> Snapshot:
        """The core's view of what is there now; to the hooks of a push, with what it brings."""
        waiting = _seen_here.get()
        if waiting is not None and waiting[0] == self._repository.objects_dir:
            return waiting[1]
        return self._repository.objects.snapshot()

    def __contains__(self, object_id: bytes) -> bool:
        return object_id in self.snapshot

    def __getitem__(self, object_id: bytes) -> GitObject:
        """Raises KeyError when the object is not here."""
        kind, data = self.snapshot.read(object_id)
        return GitObject(object_id, kind.encode(), data)

    def get_raw(self, object_id: bytes) -> tuple[int, bytes]:
        """The kind's number in packs (1 commit, 2 tree, 3 blob, 4 tag) and the content."""
        kind, data = self.snapshot.read(object_id)
        return ("commit", "tree", "blob", "tag").index(kind) + 1, data

    def write(self, kind: str, content: bytes) -> bytes:
        """Stores an object durably; its id."""
        # into the repository, also from a hook: what waits for a push may come to nothing
        return self._repository.objects.snapshot().write_loose(kind, content)
