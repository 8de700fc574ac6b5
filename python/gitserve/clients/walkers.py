"""Where haves come from: a repository of ours, or somebody's own graph walker.

In: commits. Out: :class:`~.rounds.HaveSource`. Must not know packets.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from typing import Final, Protocol

from gitserve._core import Snapshot
from gitserve.errors import MissingObject

TIME_DIGITS: Final = 19
"""Of a commit's time that are read: more do not fit 64 bits."""


class GraphWalker(Protocol):
    """dulwich's kind: ``ack``, and ``__next__`` or ``next``, which return ``None`` at the end.

    ``shallow`` and ``update_shallow`` are used where they are there.
    """

    def ack(self, sha: bytes, /) -> object:
        """The server has it."""


class ForeignWalker:
    """A walker of the caller's."""

    __slots__ = ("_next", "_walker")

    def __init__(self, walker: GraphWalker) -> None:
        self._walker = walker
        name = "__next__" if hasattr(walker, "__next__") else "next"
        self._next: Callable[[], bytes | None] = getattr(walker, name)

    @property
    def shallow(self) -> Collection[bytes]:
        """Its commits without parents."""
        return getattr(self._walker, "shallow", None) or ()

    def next_have(self) -> bytes | None:
        """See :class:`~.rounds.HaveSource`."""
        try:
            return self._next()
        except StopIteration:
            return None

    def acknowledge(self, object_id: bytes) -> None:
        """See :class:`~.rounds.HaveSource`."""
        self._walker.ack(object_id)

    def update_shallow(self, shallow: Collection[bytes], unshallow: Collection[bytes]) -> None:
        """Tells a walker that wants to know."""
        update = getattr(self._walker, "update_shallow", None)
        if update is not None:
            update(set(shallow), set(unshallow))


class RepositoryWalker:
    """The commits of a repository, newest first; not below what the server has."""

    __slots__ = ("_common", "_heap", "_known", "_objects", "_parents", "_seen", "_shallow")

    def __init__(
        self,
        objects: Snapshot,
        tips: Iterable[bytes],
        shallow: Collection[bytes],
        known: Iterable[bytes],
    ) -> None:
        """``known``: ids that the server has shown. Said, too, but not what they reach."""
        self._objects = objects
        self._shallow = frozenset(shallow)
        self._heap: list[tuple[int, bytes]] = []
        self._parents: dict[bytes, tuple[bytes, ...]] = {}
        self._seen: set[bytes] = set()
        self._common: set[bytes] = set()
        self._known: set[bytes] = set()
        for object_id in known:
            if (commit_id := self._push(object_id)) is not None:
                self._known.add(commit_id)
        for object_id in tips:
            self._push(object_id)

    def next_have(self) -> bytes | None:
        """See :class:`~.rounds.HaveSource`."""
        while self._heap:
            _, commit_id = heapq.heappop(self._heap)
            parents = self._parents[commit_id]
            if commit_id in self._common:
                self._mark(parents)
                continue
            if commit_id in self._known:
                self._mark(parents)
            else:
                for parent in parents:
                    self._push(parent)
            return commit_id
        return None

    def acknowledge(self, object_id: bytes) -> None:
        """See :class:`~.rounds.HaveSource`."""
        self._mark(self._parents.get(object_id, ()))

    def _mark(self, commit_ids: tuple[bytes, ...]) -> None:
        waiting = list(commit_ids)
        while waiting:
            commit_id = waiting.pop()
            if commit_id not in self._common:
                self._common.add(commit_id)
                waiting += self._parents.get(commit_id, ())

    def _push(self, object_id: bytes) -> bytes | None:
        """Queues a commit, or the one behind a tag; ``None`` when it is neither or not here."""
        if object_id in self._seen:
            return object_id if object_id in self._parents else None
        self._seen.add(object_id)
        try:
            kind, content = self._objects.read(object_id)
            if kind == "tag":
                peeled = self._objects.peel(object_id)
                return None if peeled is None else self._push(peeled)
        except MissingObject:
            return None
        if kind != "commit":
            return None
        parents, when = _read_commit(content)
        self._parents[object_id] = () if object_id in self._shallow else parents
        heapq.heappush(self._heap, (-when, object_id))
        return object_id


def _read_commit(content: bytes) -> tuple[tuple[bytes, ...], int]:
    """Parents, and the committer's time; 0 when there is none to read."""
    parents: list[bytes] = []
    when = 0
    for line in content.partition(b"\n\n")[0].split(b"\n"):
        if line[:7] == b"parent ":
            parents.append(line[7:])
        elif line[:10] == b"committer ":
            words = line.rsplit(b" ", 2)
            if len(words) == 3 and words[1].isdigit() and len(words[1]) <= TIME_DIGITS:
                when = int(words[1])
            break
    return tuple(parents), when
