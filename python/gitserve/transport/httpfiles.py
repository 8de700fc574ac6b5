"""The dumb protocol: a repository as files, for clients that put it together themselves.

In: a repository and a resource. Out: a :class:`File`, or None when there is none. What says which
refs and packs there are is made at the moment it is asked for; nobody has to run
``git update-server-info``. Names come from a list of forms, so none can lead elsewhere.

Git's document: gitprotocol-http, "Dumb Clients"; gitrepository-layout(5).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from io import BufferedReader

from gitserve.repository.hiderefs import hidden_patterns
from gitserve.repository.native import NativeRepository
from gitserve.transport.httprequest import NO_CACHE, Headers, Resource

PIECE = 256 << 10
"""Bytes of a file sent at once."""

MAX_ALTERNATES = 64 << 10
"""Bytes of a list of alternates; a few lines."""

YEAR = 31_536_000
"""Seconds. An object's content is its name, so it may be kept as long as anyone likes."""

_PACK = re.compile(r"[a-z]+-(?:[0-9a-f]{40}|[0-9a-f]{64})\.pack\Z")

_TYPES = {
    Resource.LOOSE: "application/x-git-loose-object",
    Resource.PACK: "application/x-git-packed-objects",
    Resource.INDEX: "application/x-git-packed-objects-toc",
}


@dataclass(slots=True)
class File:
    """What is sent: bytes that were made, or an open file."""

    content: bytes | BufferedReader
    size: int
    content_type: str
    headers: Headers = field(default_factory=list)

    def pieces(self) -> Iterator[bytes]:
        """The content; closes the file."""
        if isinstance(self.content, bytes):
            yield self.content
            return
        with self.content as file:
            left = self.size
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece

    def close(self) -> None:
        """When nobody wants the content."""
        if not isinstance(self.content, bytes):
            self.content.close()


def dumb_file(
    repository: NativeRepository, resource: Resource, path: str, now: float
) -> File | None:
    """``path`` is relative to the repository; ``now`` in seconds since 1970."""
    if resource is Resource.INFO_REFS:
        return _made(info_refs(repository), "text/plain; charset=utf-8")
    if resource is Resource.HEAD:
        return _made(head(repository), "text/plain")
    if resource is Resource.INFO_PACKS:
        return _made(info_packs(repository.objects_dir), "text/plain; charset=utf-8")
    if resource in (Resource.ALTERNATES, Resource.HTTP_ALTERNATES):
        lines = alternates(repository.objects_dir, os.path.basename(path))
        return None if lines is None else _made(lines, "text/plain")
    file = _open_regular(os.path.join(repository.objects_dir, path.removeprefix("objects/")))
    if file is None:
        return None
    status = os.fstat(file.fileno())
    forever = [
        ("Date", formatdate(now, usegmt=True)),
        ("Expires", formatdate(now + YEAR, usegmt=True)),
        ("Cache-Control", f"public, max-age={YEAR}"),
        ("Last-Modified", formatdate(status.st_mtime, usegmt=True)),
    ]
    return File(file, status.st_size, _TYPES[resource], forever)


def info_refs(repository: NativeRepository) -> bytes:
    """Every visible ref, and what tags peel to."""
    refs = repository.refs.snapshot()
    patterns = hidden_patterns(repository.config, "uploadpack", repository.namespace)
    if patterns:
        refs = refs.hidden(patterns)
    objects = repository.objects.snapshot()
    lines: list[bytes] = []
    for name, object_id in refs.items():
        lines.append(b"%b\t%b\n" % (object_id, name))
        peeled = refs.peeled(name, objects)
        if peeled is not None and peeled != object_id:
            lines.append(b"%b\t%b^{}\n" % (peeled, name))
    return b"".join(lines)


def head(repository: NativeRepository) -> bytes:
    """The file HEAD, unless it names a branch that is hidden."""
    everything = repository.refs.snapshot()
    patterns = hidden_patterns(repository.config, "uploadpack", repository.namespace)
    visible = everything.hidden(patterns) if patterns else everything
    target = everything.symbolic(b"HEAD")
    value = visible.get(b"HEAD")
    if target is None:
        return b"" if value is None else value + b"\n"
    if value is None and everything.get(target) is not None:
        return b""
    return b"ref: %b\n" % target


def info_packs(objects_dir: str) -> bytes:
    """The packs that are here and complete, newest first: that is where most clients look."""
    folder = os.path.join(objects_dir, "pack")
    found: list[tuple[float, str]] = []
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        names = set()
    for name in names:
        if _PACK.match(name) and name.removesuffix("pack") + "idx" in names:
            try:
                found.append((-os.stat(os.path.join(folder, name)).st_mtime, name))
            except FileNotFoundError:
                continue  # a repack has just removed it
    return b"".join(b"P %b\n" % name.encode() for _, name in sorted(found)) + b"\n"


def alternates(objects_dir: str, name: str) -> bytes | None:
    """Where else to look. Absolute paths of ``alternates`` are the server's own business."""
    file = _open_regular(os.path.join(objects_dir, "info", name))
    if file is None:
        return None
    with file:
        lines = file.read(MAX_ALTERNATES).splitlines(keepends=True)
    if name == "alternates":
        lines = [line for line in lines if not line.startswith((b"/", b"#", b'"'))]
    return b"".join(lines)


def _made(content: bytes, content_type: str) -> File:
    return File(content, len(content), content_type, list(NO_CACHE))


def _open_regular(path: str) -> BufferedReader | None:
    try:
        # a fifo would keep us waiting in open
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")
