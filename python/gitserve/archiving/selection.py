"""Which files an archive holds: a tree that may be given away, and what of it is asked for.

In: objects, refs, a request. Out: entries in the tree's order. Only what refs name is given away,
``<ref>`` and ``<ref>:<path>``, unless ``uploadArchive.allowUnreachable``.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator

from gitserve._core import Snapshot
from gitserve.archiving.attributes import Attributes
from gitserve.archiving.entry import Content, Entry
from gitserve.archiving.request import TIME_END, ArchiveRequest, refusal
from gitserve.archiving.substitution import MAX_FILE, Substitution
from gitserve.errors import MissingObject
from gitserve.record import Record
from gitserve.repository.trees import entries

MAX_DEPTH = 500
"""Folders within folders; each is a frame of ours."""

SHOWN_MAX = 100
IGNORE, SUBST = b"export-ignore", b"export-subst"

BIG_FILE = 512 << 20
"""``core.bigFileThreshold``, where it is not configured."""

STREAMED_FROM = 4 << 20
"""Bytes of a file that is read whole; a larger one passes through in pieces."""

_REF_RULES = (
    b"%b", b"refs/%b", b"refs/tags/%b", b"refs/heads/%b", b"refs/remotes/%b",
    b"refs/remotes/%b/HEAD",
)  # fmt: skip


class Chosen(Record):
    """What a request names."""

    tree: bytes
    commit: bytes | None
    """When it is a commit's whole tree."""
    when: int
    """The time that entries get."""


def resolve(
    objects: Snapshot,
    look_up: Callable[[bytes], bytes | None],
    asked: bytes,
    *,
    any_object: bool,
) -> Chosen:
    """Raises :class:`~gitserve.archiving.request.ArchiveRefused`: "no such ref" for nearly all."""
    name, colon, path = asked.partition(b":")
    found = next((value for rule in _REF_RULES if (value := look_up(rule % name))), None)
    if found is None and any_object:
        found = _by_id(objects, name)
    if found is None:
        raise refusal(b"no such ref: %b" % name[:SHOWN_MAX])
    object_id = objects.peel(found) or found
    kind, content = objects.read(object_id)
    commit: bytes | None = None
    when = int(time.time())
    if kind == "commit":
        commit = object_id
        lines = content.partition(b"\n\n")[0].split(b"\n")
        object_id = lines[0].removeprefix(b"tree ")
        stamps = [line.rsplit(b" ", 2)[1] for line in lines if line.startswith(b"committer ")]
        when = int(stamps[0]) if stamps and _is_time(stamps[0]) else when
    if colon:
        commit, when = None, int(time.time())  # a part of a commit has no date of its own
    for part in filter(None, path.split(b"/")):
        children = {child: (mode, below) for mode, child, below in entries(objects, object_id)}
        mode, object_id = children.get(part, (0, b""))
        if not stat.S_ISDIR(mode):
            raise refusal(b"not a tree object: %b" % asked[:SHOWN_MAX])
    header = objects.header(object_id)
    if header is None or header[0] != "tree":
        raise refusal(b"not a tree object: %b" % asked[:SHOWN_MAX])
    return Chosen(object_id, commit, when)


def _is_time(stamp: bytes) -> bool:
    return stamp.isdigit() and len(stamp) <= 11 and int(stamp) < TIME_END


def _by_id(objects: Snapshot, name: bytes) -> bytes | None:
    digits = 64 if objects.object_format == "sha256" else 40
    name = name.removesuffix(b"^{tree}").lower()
    if len(name) != digits or name.strip(b"0123456789abcdef"):
        return None
    return name if name in objects else None


class Selection:
    """One walk over a tree."""

    def __init__(
        self,
        objects: Snapshot,
        request: ArchiveRequest,
        own: Attributes,
        substitution: Substitution | None = None,
        big_file: int = BIG_FILE,
    ) -> None:
        """``own``: the repository's ``info/attributes``. ``substitution``: for files that have
        ``export-subst`` and are not above ``big_file`` bytes."""
        self._objects = objects
        self._request = request
        self._own = own
        self._substitution = substitution
        self._big_file = big_file
        self._unmatched = set(request.paths)

    def entries(self, tree_id: bytes) -> Iterator[Entry]:
        """Folders before what is in them, and only if anything is."""
        prefix = self._request.prefix
        if prefix.endswith(b"/"):
            yield Entry(prefix.rstrip(b"/") + b"/", stat.S_IFDIR | 0o777, tree_id)
        yield from self._below(tree_id, b"", self._own, [])
        if self._unmatched:
            missing = min(self._unmatched)[:SHOWN_MAX]
            raise refusal(b"pathspec '%b' did not match any files" % missing)

    def _below(
        self, tree_id: bytes, folder: bytes, rules: Attributes, pending: list[Entry]
    ) -> Iterator[Entry]:
        if folder.count(b"/") > MAX_DEPTH:
            raise refusal(b"exceeded maximum allowed tree depth")
        children = list(entries(self._objects, tree_id))
        for mode, name, object_id in children:
            if name == b".gitattributes" and stat.S_ISREG(mode):
                rules = rules.below(self._objects.read(object_id)[1], folder)
        for mode, name, object_id in children:
            path = folder + name
            is_folder = stat.S_ISDIR(mode)
            if not self._is_asked_for(path):
                continue
            told = self._request.prefix + path
            ignored = rules.has(IGNORE, path, is_folder=is_folder)
            if is_folder:
                if ignored:
                    continue
                waiting = [*pending, Entry(told + b"/", mode, object_id)]
                for entry in self._below(object_id, path + b"/", rules, waiting):
                    pending.clear()
                    yield entry
                continue
            yield from pending
            pending.clear()
            if ignored:
                continue  # but its folder is there, as in git
            if stat.S_IFMT(mode) == 0o160000:
                yield Entry(told + b"/", mode, object_id)
            else:
                substituted = stat.S_ISREG(mode) and rules.has(SUBST, path, is_folder=False)
                yield self._file(told, mode, object_id, substituted=substituted)

    def _file(self, path: bytes, mode: int, object_id: bytes, *, substituted: bool) -> Entry:
        header = self._objects.header(object_id)
        if header is None:
            raise MissingObject(object_id.decode())
        size = header[1]
        is_big = size > self._big_file and not substituted
        if substituted and self._substitution is not None and size <= MAX_FILE:
            expanded = self._substitution.expand(self._objects.read(object_id)[1])
            return Entry(path, mode, object_id, Content.of(expanded))
        if (size <= STREAMED_FROM and not is_big) or not stat.S_ISREG(mode):
            return Entry(path, mode, object_id, Content.of(self._objects.read(object_id)[1]))
        content = Content(size, lambda: self._objects.pieces(object_id), is_big)
        return Entry(path, mode, object_id, content)

    def _is_asked_for(self, path: bytes) -> bool:
        """Named, below what is named, or on the way to it."""
        if not self._request.paths:
            return True
        found = False
        for asked in self._request.paths:
            if path == asked or path.startswith(asked + b"/"):
                self._unmatched.discard(asked)
                found = True
            elif asked.startswith(path + b"/"):
                found = True
        return found
