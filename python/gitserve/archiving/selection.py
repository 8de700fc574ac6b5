"""Which files an archive holds: a tree that may be given away, and what of it is asked for.

In: objects, refs, a request. Out: entries in the tree's order. Only what refs name is given away,
``<ref>`` and ``<ref>:<path>``, unless ``uploadArchive.allowUnreachable``.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from gitserve._core import Snapshot
from gitserve.archiving.attributes import Attributes
from gitserve.archiving.conversion import STREAMED_FROM, Converter
from gitserve.archiving.entry import Content, Entry
from gitserve.archiving.pathspecs import Pathspecs
from gitserve.archiving.request import TIME_END, ArchiveRequest, refusal
from gitserve.archiving.substitution import MAX_FILE, Substitution
from gitserve.errors import MissingObject
from gitserve.record import EMPTY, TYPE_CHECKING, Record
from gitserve.repository.trees import entries

if TYPE_CHECKING:
    from gitserve.archiving.attributes import Value

MAX_DEPTH = 500
"""Folders within folders; each is a frame of ours."""

SHOWN_MAX = 100
IGNORE, SUBST = b"export-ignore", b"export-subst"

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
    ref: bytes | None = None
    """The full name of what was asked for, unless that is a part of it or an id."""


def resolve(
    objects: Snapshot,
    look_up: Callable[[bytes], bytes | None],
    asked: bytes,
    *,
    any_object: bool,
) -> Chosen:
    """Raises :class:`~gitserve.archiving.request.ArchiveRefused`: "no such ref" for nearly all."""
    name, colon, path = asked.partition(b":")
    names = (rule % name for rule in _REF_RULES)
    ref, found = next(((ref, value) for ref in names if (value := look_up(ref))), (None, None))
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
    return Chosen(object_id, commit, when, None if colon else ref)


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
        converter: Converter,
        big_file: int,
        substitution: Substitution | None = None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """``own``: attributes of all the repository. ``substitution``: for files that have
        ``export-subst``; others above ``big_file`` bytes stay as they are. ``waiting`` is called
        often, and raises when nobody waits for the archive any more."""
        self._objects = objects
        self._request = request
        self._own = own
        self._converter = converter
        self._substitution = substitution
        self._big_file = big_file
        self._asked = Pathspecs(request.paths)
        self._check_waiting = waiting

    def entries(self, tree_id: bytes) -> Iterator[Entry]:
        """Folders before what is in them, and only if anything is."""
        prefix = self._request.prefix
        if prefix.endswith(b"/"):
            yield Entry(prefix.rstrip(b"/") + b"/", stat.S_IFDIR | 0o777, tree_id)
        yield from self._below(tree_id, b"", self._own, [])
        missing = self._asked.unmatched
        if missing is not None:
            raise refusal(b"pathspec '%b' did not match any files" % missing[:SHOWN_MAX])

    def _below(
        self, tree_id: bytes, folder: bytes, rules: Attributes, pending: list[Entry]
    ) -> Iterator[Entry]:
        if folder.count(b"/") > MAX_DEPTH:
            raise refusal(b"exceeded maximum allowed tree depth")
        children = list(entries(self._objects, tree_id))
        rules = self._rules_in(children, folder, rules)
        for mode, name, object_id in children:
            self._check_waiting()
            path = folder + name
            is_folder = stat.S_ISDIR(mode)
            is_link = stat.S_IFMT(mode) == 0o160000
            asked = self._values(path, mode, rules)
            if is_folder and not self._asked.may_match_below(path, asked):
                continue
            if not is_folder and not self._asked.match(path, asked, is_folder=is_link):
                continue
            told = self._request.prefix + path
            values = rules.of(path, is_folder=is_folder)
            ignored = values.get(IGNORE) is True
            if is_folder:
                if ignored:
                    self._look(object_id, path + b"/", rules)
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
            if is_link:
                yield Entry(told + b"/", mode, object_id)
            else:
                content = self._content(path, mode, object_id, values)
                yield Entry(told, mode, object_id, content, self._converter.is_text(values))

    def _look(self, tree_id: bytes, folder: bytes, rules: Attributes) -> None:
        """Finds what is asked for and ignored, which is no mistake."""
        if self._asked.unmatched is None or folder.count(b"/") > MAX_DEPTH:
            return
        children = list(entries(self._objects, tree_id))
        rules = self._rules_in(children, folder, rules)
        for mode, name, object_id in children:
            self._check_waiting()
            path = folder + name
            values = self._values(path, mode, rules)
            if not stat.S_ISDIR(mode):
                self._asked.match(path, values)
            elif self._asked.may_match_below(path, values):
                self._look(object_id, path + b"/", rules)

    def _rules_in(
        self, children: Iterable[tuple[int, bytes, bytes]], folder: bytes, rules: Attributes
    ) -> Attributes:
        for mode, name, object_id in children:
            if name == b".gitattributes" and stat.S_ISREG(mode):
                return rules.below(self._objects.read(object_id)[1], folder)
        return rules

    def _values(self, path: bytes, mode: int, rules: Attributes) -> Mapping[bytes, Value]:
        """For pathspecs, if they ask for any."""
        if not self._asked.by_attributes:
            return EMPTY
        return {
            b"builtin_objectmode": b"%06o" % mode, **rules.of(path, is_folder=stat.S_ISDIR(mode))
        }  # fmt: skip

    def _content(
        self, path: bytes, mode: int, object_id: bytes, values: Mapping[bytes, Value]
    ) -> Content:
        header = self._objects.header(object_id)
        if header is None:
            raise MissingObject(object_id.decode())
        size = header[1]
        if not stat.S_ISREG(mode):
            return Content.of(self._objects.read(object_id)[1])
        substituted = values.get(SUBST) is True
        is_big = size > self._big_file and not substituted
        if size <= STREAMED_FROM and not is_big:
            content = Content.of(self._objects.read(object_id)[1])
        else:
            content = Content(size, lambda: self._objects.pieces(object_id), is_big)
        if is_big:
            return content
        how = self._converter.of(values)
        if how:
            content = self._converter.convert(how, path, object_id, content)
        if substituted and self._substitution is not None and content.size <= MAX_FILE:
            content = Content.of(self._substitution.expand(content.whole()))
        return content
