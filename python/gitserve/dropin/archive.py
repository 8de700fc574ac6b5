"""``UploadArchiveHandler``: ``git archive --remote``.

In: arguments, one a packet. Out: an archive in band 1, complaints in band 2 and 3. Git's document:
git-upload-archive, git-archive. Only what refs name is given away: ``<ref>`` and ``<ref>:<path>``.
"""

from __future__ import annotations

import io
import stat
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitserve._core import Snapshot
from gitserve.dropin.handlers import Handler, repository_path
from gitserve.dropin.road import converse
from gitserve.dropin.served import served
from gitserve.dropin.tarball import Entry, gzipped, tar
from gitserve.errors import PeerError
from gitserve.repository.hiderefs import hidden_patterns, is_hidden
from gitserve.service.streams import Conversation
from gitserve.wire import sideband
from gitserve.wire.malformed import quoted
from gitserve.wire.pktline import FLUSH_PKT, chomp, encode
from gitserve.wire.sideband import Band

MAX_ARGUMENTS = 64
"""git's own limit."""

MAX_DEPTH = 500
"""Folders within folders; each is a frame of ours."""

_REF_RULES = (b"%b", b"refs/%b", b"refs/tags/%b", b"refs/heads/%b", b"refs/remotes/%b",
              b"refs/remotes/%b/HEAD")  # fmt: skip
_FORMATS = (b"tar", b"tgz", b"tar.gz", b"zip")


class ArchiveRefused(PeerError):
    """The client may not have this, or it does not exist."""


@dataclass(slots=True)
class _Request:
    """What the client asks for."""

    format: bytes = b"tar"
    prefix: bytes = b""
    level: int = -1
    tree: bytes | None = None
    paths: list[bytes] = field(default_factory=list)
    listing: bool = False
    mtime: int | None = None


class UploadArchiveHandler(Handler):
    """Sends a tree as an archive."""

    def __init__(
        self,
        backend: Any,
        args: Sequence[Any],
        proto: Any,
        stateless_rpc: Any = False,
        *,
        http_req: Any = None,
    ) -> None:
        """As :class:`~gitserve.dropin.upload.UploadPackHandler`."""
        super().__init__(backend, proto, stateless_rpc, http_req=http_req)
        self.repo = backend.open_repository(repository_path(args))

    def handle(self) -> None:
        """Serves one archive. Raises what went wrong, once the client has been told."""
        conversation = converse(self.proto, stateless=self.stateless_rpc)
        try:
            arguments = _read_arguments(conversation)
        except ArchiveRefused as error:
            conversation.write(encode(b"NACK %b\n" % (error.wire or b"")) + FLUSH_PKT)
            conversation.flush()
            raise
        conversation.write(encode(b"ACK\n") + FLUSH_PKT)
        try:
            for piece in self._archive(_parse(arguments)):
                conversation.write(sideband.encode(Band.DATA, piece))
        except ArchiveRefused as error:
            conversation.write(
                sideband.encode(Band.PROGRESS, b"fatal: %b\n" % (error.wire or b"refused"))
                + sideband.encode(Band.ERROR, b"git upload-archive: archiver died with error\n")
                + FLUSH_PKT
            )
            conversation.flush()
            raise
        conversation.write(FLUSH_PKT)
        conversation.flush()

    def _archive(self, request: _Request) -> Iterator[bytes]:
        if request.listing:
            yield b"\n".join(_FORMATS) + b"\n"
            return
        if request.tree is None:
            raise _refusal(b"must specify tree-ish")
        repository = served(self.repo)
        objects = repository.objects.snapshot()
        refs = repository.refs.snapshot()
        patterns = hidden_patterns(repository.config, "uploadpack")

        def look_up(name: bytes) -> bytes | None:
            return None if is_hidden(name, patterns) else refs.get(name)

        tree, commit_id, when = _resolve(objects, look_up, request.tree)
        when = request.mtime if request.mtime is not None else when
        entries = _walk(objects, tree, request)
        if request.format == b"zip":
            yield from _zip(entries, when, commit_id, request.level)
            return
        pieces = tar(entries, when, commit_id)
        yield from pieces if request.format == b"tar" else gzipped(pieces, request.level)


def _refusal(reason: bytes) -> ArchiveRefused:
    return ArchiveRefused(reason.decode("utf-8", "replace"), wire=reason)


def _read_arguments(conversation: Conversation) -> list[bytes]:
    arguments: list[bytes] = []
    while isinstance(packet := conversation.read_packet(), bytes):
        word, blank, argument = chomp(packet).partition(b" ")
        if word != b"argument" or not blank:
            raise _refusal(b"'argument' token or flush expected")
        if len(arguments) == MAX_ARGUMENTS:
            raise _refusal(b"Too many options (>%d)" % (MAX_ARGUMENTS - 1))
        arguments.append(argument)
    return arguments


def _parse(arguments: list[bytes]) -> _Request:
    request = _Request()
    words = iter(arguments)
    literal = False
    for word in words:
        name, equals, value = word.partition(b"=")
        if literal or not word.startswith(b"-"):
            if request.tree is None:
                request.tree = word
            else:
                request.paths.append(word.rstrip(b"/"))
        elif word == b"--":
            literal = True
        elif name in (b"--format", b"--prefix", b"--mtime"):
            value = value if equals else next(words, b"")
            _set(request, name, value)
        elif len(word) == 2 and word[1:].isdigit():
            request.level = int(word[1:])
        elif word in (b"-l", b"--list"):
            request.listing = True
        elif word not in (b"-v", b"--verbose", b"--worktree-attributes"):
            raise _refusal(b"option '%b' is not supported" % quoted(name).encode())
    return request


def _set(request: _Request, name: bytes, value: bytes) -> None:
    if name == b"--prefix":
        request.prefix = value
    elif name == b"--mtime":
        if not value.isdigit():
            raise _refusal(b"a time in seconds is expected")
        request.mtime = int(value)
    elif value in _FORMATS:
        request.format = value
    else:
        raise _refusal(b"Unknown archive format '%b'" % quoted(value).encode())


def _resolve(
    objects: Snapshot, look_up: Callable[[bytes], bytes | None], asked: bytes
) -> tuple[bytes, bytes | None, int]:
    """Tree, commit if it is one's whole tree, and time. git: "no such ref" for all else."""
    name, _, path = asked.partition(b":")
    found = next((value for rule in _REF_RULES if (value := look_up(rule % name))), None)
    if found is None:
        raise _refusal(b"no such ref: %b" % quoted(name).encode())
    object_id = objects.peel(found) or found
    kind, content = objects.read(object_id)
    commit_id: bytes | None = None
    when = int(time.time())
    if kind == "commit":
        commit_id = object_id
        lines = content.partition(b"\n\n")[0].split(b"\n")
        object_id = lines[0].removeprefix(b"tree ")
        stamps = [line.rsplit(b" ", 2)[1] for line in lines if line.startswith(b"committer ")]
        when = int(stamps[0]) if stamps and stamps[0].isdigit() else when
    for part in filter(None, path.split(b"/")):
        child = {name: (mode, child) for mode, name, child in _tree(objects, object_id)}.get(part)
        if child is None or not stat.S_ISDIR(child[0]):
            raise _refusal(b"not a tree object: %b" % quoted(asked).encode())
        object_id = child[1]
    if objects.header(object_id) is None or objects.read(object_id)[0] != "tree":
        raise _refusal(b"not a tree object: %b" % quoted(asked).encode())
    return object_id, commit_id, when


def _tree(objects: Snapshot, tree_id: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(mode, name, id) of each entry."""
    rest = objects.read(tree_id)[1]
    raw = len(tree_id) // 2
    while rest:
        head, _, rest = rest.partition(b"\0")
        mode, _, name = head.partition(b" ")
        yield int(mode, 8), name, rest[:raw].hex().encode()
        rest = rest[raw:]


def _walk(objects: Snapshot, tree_id: bytes, request: _Request) -> Iterator[Entry]:
    if request.prefix.endswith(b"/"):
        yield Entry(request.prefix, stat.S_IFDIR, tree_id)
    unmatched = set(request.paths)
    yield from _below(objects, tree_id, b"", request, unmatched)
    if unmatched:
        missing = quoted(min(unmatched)).encode()
        raise _refusal(b"pathspec '%b' did not match any files" % missing)


def _below(
    objects: Snapshot, tree_id: bytes, folder: bytes, request: _Request, unmatched: set[bytes]
) -> Iterator[Entry]:
    if folder.count(b"/") > MAX_DEPTH:
        raise _refusal(b"exceeded maximum allowed tree depth")
    for mode, name, object_id in _tree(objects, tree_id):
        path = folder + name
        if not _wanted(path, request.paths, unmatched):
            continue
        told = request.prefix + path
        if stat.S_ISDIR(mode):
            yield Entry(told + b"/", mode, object_id)
            yield from _below(objects, object_id, path + b"/", request, unmatched)
        elif stat.S_IFMT(mode) == 0o160000:
            yield Entry(told + b"/", mode, object_id)
        else:
            yield Entry(told, mode, object_id, objects.read(object_id)[1])


def _wanted(path: bytes, wanted: list[bytes], unmatched: set[bytes]) -> bool:
    """Is it asked for, below what is, or on the way to it?"""
    if not wanted:
        return True
    found = False
    for asked in wanted:
        if path == asked or path.startswith(asked + b"/"):
            unmatched.discard(asked)
            found = True
        elif asked.startswith(path + b"/"):
            found = True
    return found


class _Spool(io.RawIOBase):
    """What a zip writer writes, for whoever takes it away."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.held.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self.held)
        self.held.clear()
        return taken


def _zip(
    entries: Iterator[Entry], when: int, commit_id: bytes | None, level: int
) -> Iterator[bytes]:
    spool = _Spool()
    stamp = max(time.gmtime(when)[:6], (1980, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(spool, "w") as archive:
        archive.comment = commit_id or b""
        for entry in entries:
            info = zipfile.ZipInfo(entry.path.decode("utf-8", "surrogateescape"), stamp)
            mode = 0o40755 if entry.is_folder else entry.mode
            info.external_attr = mode << 16 | (0x10 if entry.is_folder else 0)
            info.create_system = 3
            info.compress_type = zipfile.ZIP_DEFLATED if entry.content else zipfile.ZIP_STORED
            archive.writestr(info, entry.content, compresslevel=None if level < 0 else level)
            yield spool.take()
    yield spool.take()
