"""A commit, told by the tag before it.

In: objects, refs, a commit. Out: the tag and how many commits lie between. Git's document:
git-describe(1), "Search strategy".
"""

from __future__ import annotations

import fnmatch
import heapq
from collections.abc import Callable

from gitserve._core import RefSnapshot, Snapshot
from gitserve.record import Record

MAX_CANDIDATES = 10
"""Tags that are compared, as in git."""

MAX_COMMITS = 100_000
"""Read in one search; a history that has no tag for so long gets no description."""

_TAGS = b"refs/tags/"


class Description(Record):
    """What was found."""

    name: bytes | None = None
    distance: int = 0
    abbreviation: int | None = None
    """As asked for."""


class _Wish(Record):
    every_tag: bool = False
    abbreviation: int | None = None
    match: tuple[bytes, ...] = ()
    exclude: tuple[bytes, ...] = ()


class _TooMany(Exception):
    """More than :data:`MAX_COMMITS`."""


def describe(
    objects: Snapshot, refs: RefSnapshot, commit_id: bytes, options: bytes
) -> Description | None:
    """None for options that are none."""
    wish = _wish(options)
    if wish is None:
        return None
    tags = _tags(objects, refs, wish)
    if commit_id in tags:
        return Description(tags[commit_id], 0, wish.abbreviation)
    try:
        best = _Search(objects, tags, commit_id).best()
    except _TooMany:
        best = None
    if best is None:
        return Description()
    return Description(tags[best.commit_id], best.distance, wish.abbreviation)


def _wish(options: bytes) -> _Wish | None:
    every = False
    abbreviation: int | None = None
    patterns: dict[bytes, list[bytes]] = {b"match": [], b"exclude": []}
    for option in options.split(b",") if options else ():
        key, equals, value = option.partition(b"=")
        if key == b"tags":
            every = not equals or value.lower() in (b"true", b"yes", b"on", b"1")
        elif key == b"abbrev" and value.isdigit() and len(value) < 6:
            abbreviation = int(value)
        elif key in patterns and equals:
            patterns[key].append(value)
        else:
            return None
    return _Wish(every, abbreviation, tuple(patterns[b"match"]), tuple(patterns[b"exclude"]))


def _tags(objects: Snapshot, refs: RefSnapshot, wish: _Wish) -> dict[bytes, bytes]:
    """By the commit they name: annotated ones first, then the newest, then the first."""
    best: dict[bytes, tuple[tuple[bool, int], bytes]] = {}
    for full, object_id in refs.items(_TAGS):
        name = full[len(_TAGS) :]
        if wish.match and not any(map(_matches(name), wish.match)):
            continue
        if any(map(_matches(name), wish.exclude)):
            continue
        peeled = refs.peeled(full, objects)
        annotated = peeled is not None
        if not annotated and not wish.every_tag:
            continue
        key = (annotated, _tagged_at(objects, object_id) if annotated else 0)
        target = peeled or object_id
        if target not in best or key > best[target][0]:
            best[target] = (key, name)
    return {target: name for target, (_, name) in best.items()}


def _matches(name: bytes) -> Callable[[bytes], bool]:
    return lambda pattern: fnmatch.fnmatchcase(name, pattern)


def _tagged_at(objects: Snapshot, tag_id: bytes) -> int:
    head = objects.read(tag_id)[1].partition(b"\n\n")[0]
    return _time(head, b"tagger ")


def _time(head: bytes, key: bytes) -> int:
    for line in head.split(b"\n"):
        if line.startswith(key):
            words = line.rsplit(b" ", 2)
            return int(words[1]) if len(words) == 3 and words[1].isdigit() else 0
    return 0


class _Candidate:
    """A tagged commit that was met."""

    __slots__ = ("commit_id", "distance", "mark")

    def __init__(self, commit_id: bytes, mark: int, distance: int) -> None:
        self.commit_id = commit_id
        self.mark = mark
        """A bit that its ancestors have, too."""
        self.distance = distance
        """Commits met that do not have it."""


class _Search:
    """One walk over the history, the latest commits first.

    A commit counts as lying between if it is met before the tag's mark has come to it: where dates
    do not follow the history, these are more than have to be, and the same as git counts.
    """

    def __init__(self, objects: Snapshot, tags: dict[bytes, bytes], start: bytes) -> None:
        self._objects = objects
        self._tags = tags
        self._parents: dict[bytes, list[bytes]] = {}
        self._marks: dict[bytes, int] = {}
        self._heap: list[tuple[int, int, bytes]] = []
        self._waiting: set[bytes] = set()
        """What is in the heap."""
        self._meet(start, 0)

    def best(self) -> _Candidate | None:
        """The nearest."""
        candidates: list[_Candidate] = []
        met = 0
        while self._tags and self._heap:
            commit_id = self._heap[0][2]
            if commit_id in self._tags:
                if len(candidates) == MAX_CANDIDATES:
                    break
                mark = 1 << len(candidates)
                self._marks[commit_id] |= mark
                candidates.append(_Candidate(commit_id, mark, met))
            met += 1
            self._next()
            marks = self._marks[commit_id]
            for candidate in candidates:
                candidate.distance += not marks & candidate.mark
            if candidates and not self._heap:
                break
            self._meet_parents(commit_id)
        if not candidates:
            return None
        best = min(candidates, key=lambda candidate: candidate.distance)
        self._finish(best)
        return best

    def _finish(self, best: _Candidate) -> None:
        """Counts what is left of a search that ended early."""
        unmarked = sum(not self._marks[entry[2]] & best.mark for entry in self._heap)
        while self._heap and unmarked:
            commit_id = self._next()
            if not self._marks[commit_id] & best.mark:
                unmarked -= 1
                best.distance += 1
            unmarked += self._meet_parents(commit_id, best.mark)

    def _meet_parents(self, commit_id: bytes, mark: int = 0) -> int:
        """How many more wait without the mark."""
        marks, more = self._marks[commit_id], 0
        for parent in self._parents[commit_id]:
            before = self._marks.get(parent)
            if before is None:
                self._meet(parent, marks)
                more += not marks & mark
            else:
                self._marks[parent] = before | marks
                gained = marks & ~before & mark
                more -= bool(gained and parent in self._waiting)
        return more

    def _meet(self, commit_id: bytes, marks: int) -> None:
        if len(self._parents) >= MAX_COMMITS:
            raise _TooMany
        head = self._objects.read(commit_id)[1].partition(b"\n\n")[0]
        lines = head.split(b"\n")
        self._parents[commit_id] = [line[7:] for line in lines if line.startswith(b"parent ")]
        self._marks[commit_id] = marks
        entry = (-_time(head, b"committer "), len(self._parents), commit_id)
        heapq.heappush(self._heap, entry)
        self._waiting.add(commit_id)

    def _next(self) -> bytes:
        commit_id = heapq.heappop(self._heap)[2]
        self._waiting.discard(commit_id)
        return commit_id
