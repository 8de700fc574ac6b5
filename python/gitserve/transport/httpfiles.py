"""The dumb protocol: a repository as files, for clients that put it together themselves.

In: a repository and a resource. Out: a :class:`File`, or None when there is none. What says which
refs and packs there are is made at the moment it is asked for; nobody has to run
``git update-server-info``. Names come from a list of forms, so none can lead elsewhere.

Git's document: gitprotocol-http, "Dumb Clients"; gitrepository-layout(5).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from io import BufferedReader

from gitserve.repository.bundles import FOLDER
from gitserve.repository.hiderefs import hidden_patterns, is_hidden, without
from gitserve.repository.native import NativeRepository
from gitserve.repository.serverinfo import pack_lines, ref_lines
from gitserve.service.bundling import listing, shown_bundles
from gitserve.transport.httprange import Span
from gitserve.transport.httprequest import NO_CACHE, Headers, Resource

PIECE = 256 << 10
"""Bytes of a file sent at once."""

MAX_ALTERNATES = 64 << 10
"""Bytes of a list of alternates; a few lines."""

YEAR = 31_536_000
"""Seconds. An object's content is its name, so it may be kept as long as anyone likes."""

_TYPES = {
    Resource.LOOSE: "application/x-git-loose-object",
    Resource.PACK: "application/x-git-packed-objects",
    Resource.INDEX: "application/x-git-packed-objects-toc",
    Resource.BUNDLE: "application/x-git-bundle",
}


@dataclass(slots=True)
class File:
    """What is sent: bytes that were made, or an open file."""

    content: bytes | BufferedReader
    size: int
    content_type: str
    headers: Headers = field(default_factory=list)
    tag: str = ""
    """What tells this content from any other, quoted; empty where it may change."""
    modified: str = ""
    start: int = 0
    """Where :meth:`pieces` begins; ``size`` bytes from there on."""

    def cut(self, span: Span) -> None:
        """Only this part is wanted."""
        self.start, self.size = span.start, span.end - span.start

    def pieces(self) -> Iterator[bytes]:
        """The content; closes the file."""
        if isinstance(self.content, bytes):
            yield self.content
            return
        with self.content as file:
            if self.start:
                file.seek(self.start)
            left = self.size
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece

    def close(self) -> None:
        """When nobody wants the content."""
        if not isinstance(self.content, bytes):
            self.content.close()


def dumb_file(
    repository: NativeRepository,
    resource: Resource,
    path: str,
    now: float,
    hidden: Sequence[bytes] = (),
) -> File | None:
    """``path`` is relative to the repository; ``now`` in seconds since 1970; ``hidden``: patterns
    of refs that a policy hides."""
    if resource is Resource.INFO_REFS:
        return _made(info_refs(repository, hidden), "text/plain; charset=utf-8")
    if resource is Resource.HEAD:
        return _made(head(repository, hidden), "text/plain")
    if resource is Resource.INFO_PACKS:
        return _made(pack_lines(repository.objects_dir), "text/plain; charset=utf-8")
    if resource in (Resource.ALTERNATES, Resource.HTTP_ALTERNATES):
        lines = alternates(repository.objects_dir, os.path.basename(path))
        return None if lines is None else _made(lines, "text/plain")
    if resource is Resource.BUNDLES:
        listed = listing(repository)
        return None if listed is None else _made(listed, "text/plain; charset=utf-8")
    if resource is Resource.BUNDLE:
        if not any(path == f"{FOLDER}/{bundle.name}" for bundle in shown_bundles(repository)):
            return None
        file = _open_regular(os.path.join(repository.common_dir, path))
    else:
        file = _open_regular(os.path.join(repository.objects_dir, path.removeprefix("objects/")))
    if file is None:
        return None
    status = os.fstat(file.fileno())
    forever = [
        ("Date", formatdate(now, usegmt=True)),
        ("Expires", formatdate(now + YEAR, usegmt=True)),
        ("Cache-Control", f"public, max-age={YEAR}"),
        ("Last-Modified", formatdate(status.st_mtime, usegmt=True)),
        ("Accept-Ranges", "bytes"),
    ]
    made = File(file, status.st_size, _TYPES[resource], forever)
    made.modified = dict(forever)["Last-Modified"]
    if resource is not Resource.LOOSE:
        # a pack that is made anew may bear an old one's name, and lie otherwise
        stamp = "" if resource is Resource.BUNDLE else f"-{status.st_mtime_ns:x}-{status.st_ino:x}"
        made.tag = f'"{os.path.basename(path).partition(".")[0]}{stamp}"'
        forever.append(("ETag", made.tag))
    return made


def info_refs(repository: NativeRepository, hidden: Sequence[bytes] = ()) -> bytes:
    """Every visible ref, and what tags peel to."""
    refs = without(repository.refs.snapshot(), hidden)
    patterns = hidden_patterns(repository.config, "uploadpack", repository.namespace)
    if patterns:
        refs = refs.hidden(patterns)
    return ref_lines(refs, repository.objects.snapshot())


def head(repository: NativeRepository, hidden: Sequence[bytes] = ()) -> bytes:
    """The file HEAD, unless it names a branch that is hidden."""
    everything = repository.refs.snapshot()
    patterns = hidden_patterns(repository.config, "uploadpack", repository.namespace)
    visible = without(everything, hidden).hidden(patterns)
    target = everything.symbolic(b"HEAD")
    value = visible.get(b"HEAD")
    if target is None:
        return b"" if value is None else value + b"\n"
    if value is None and (everything.get(target) is not None or is_hidden(target, hidden)):
        return b""
    return b"ref: %b\n" % target


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
