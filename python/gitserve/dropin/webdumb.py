"""The dumb protocol's handlers, under dulwich's names.

In: a request, a backend, and where the URL's path matched. Out: the answer, in pieces. A repository
of ours is served from its files, anybody's own through its methods.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from gitserve.dropin.guard import admit_files
from gitserve.dropin.lines import write_info_refs
from gitserve.dropin.webrequest import HTTP_OK, HTTPGitRequest, Match, logger, url_prefix
from gitserve.errors import NoRepository, NotGitRepository
from gitserve.repo import Repo
from gitserve.repository.hiderefs import is_hidden
from gitserve.repository.serverinfo import pack_lines
from gitserve.service.permission import NotPermitted
from gitserve.transport import httpfiles
from gitserve.transport.httpapp import OBJECT_FILES
from gitserve.transport.httprequest import Resource

PIECE = 10240
"""Bytes of a file sent at once."""

ABSENT = (NotGitRepository, NoRepository)


def get_repo(backend: Any, mat: Match) -> Any:
    """The repository that a URL names. Raises NotGitRepository."""
    return backend.open_repository(url_prefix(mat))


def generate_info_refs(repo: Any) -> Iterator[bytes]:
    """The lines of ``info/refs``."""
    yield from visible_info_refs(repo, ())


def visible_info_refs(repo: Any, hidden: Sequence[bytes]) -> Iterator[bytes]:
    """The same for a client from whom a policy hides refs: their patterns."""
    if isinstance(repo, Repo):
        yield from httpfiles.info_refs(repo.native, hidden).splitlines(keepends=True)
    else:
        refs = {n: value for n, value in repo.get_refs().items() if not is_hidden(n, hidden)}
        yield from write_info_refs(refs, repo.object_store)


def open_for(req: HTTPGitRequest, backend: Any, mat: Match) -> tuple[Any, tuple[bytes, ...]]:
    """The repository, if a policy lets this client have its files, and the refs that it hides.
    Raises one of :data:`ABSENT`."""
    repo = get_repo(backend, mat)
    try:
        return repo, admit_files(req.handlers, req.environ, repo, url_prefix(mat))
    except NotPermitted as error:
        logger.warning("%s", error)
        raise NoRepository("as if there were none") from error


def generate_objects_info_packs(repo: Any) -> Iterator[bytes]:
    """The lines of ``objects/info/packs``."""
    if isinstance(repo, Repo):
        yield pack_lines(repo.native.objects_dir)
        return
    for pack in repo.object_store.packs:
        yield b"P %b\n" % os.fsencode(os.path.basename(pack.data.filename))


def send_file(req: HTTPGitRequest, f: BinaryIO | None, content_type: str) -> Iterator[bytes]:
    """A file in pieces; closes it."""
    if f is None:
        yield req.not_found("File not found")
        return
    with f if hasattr(f, "__exit__") else _Closing(f):
        begun = False
        try:
            while piece := f.read(PIECE):
                if not begun:
                    req.respond(HTTP_OK, content_type)
                    begun = True
                yield piece
        except OSError:
            if not begun:
                yield req.error("Error reading file")
            return
        if not begun:
            req.respond(HTTP_OK, content_type)


class _Closing:
    def __init__(self, file: Any) -> None:
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _send(
    req: HTTPGitRequest, backend: Any, mat: Match, resource: Resource, content_type: str
) -> Iterator[bytes]:
    try:
        repo, hidden = open_for(req, backend, mat)
    except ABSENT:
        yield no_repository(req, mat)
        return
    if hidden and (resource in OBJECT_FILES or not isinstance(repo, Repo)):
        yield req.not_found("File not found")
        return
    if isinstance(repo, Repo):
        yield from _send_native(req, repo, mat, resource, hidden)
        return
    path = mat.group().lstrip("/")
    yield from send_file(req, repo.get_named_file(path.replace("/", os.sep)), content_type)


def _send_native(
    req: HTTPGitRequest, repo: Repo, mat: Match, resource: Resource, hidden: Sequence[bytes] = ()
) -> Iterator[bytes]:
    path = mat.group().lstrip("/")
    file = httpfiles.dumb_file(repo.native, resource, path, time.time(), hidden)
    if file is None:
        yield req.not_found("File not found")
        return
    req.respond(HTTP_OK, file.content_type, [("Content-Length", str(file.size))])
    yield from file.pieces()


def no_repository(req: HTTPGitRequest, mat: Match) -> bytes:
    # the peer's own words, never those of an error that may name a folder of ours
    return req.not_found(f"No git repository was found at {url_prefix(mat)}")


_TEXTS = {
    "HEAD": Resource.HEAD,
    "objects/info/alternates": Resource.ALTERNATES,
    "objects/info/http-alternates": Resource.HTTP_ALTERNATES,
}


def get_refs_file(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """``info/refs``, as a file."""
    try:
        repo, hidden = open_for(req, backend, mat)
    except ABSENT:
        yield no_repository(req, mat)
        return
    req.nocache()
    req.respond(HTTP_OK, "text/plain")
    yield from visible_info_refs(repo, hidden)


def get_text_file(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """One of the few text files that are served."""
    req.nocache()
    resource = _TEXTS.get(mat.group().lstrip("/"), Resource.HEAD)
    return _send(req, backend, mat, resource, "text/plain")


def get_pack_file(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """A pack."""
    req.cache_forever()
    return _send(req, backend, mat, Resource.PACK, "application/x-git-packed-objects")


def get_idx_file(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """The index of a pack."""
    req.cache_forever()
    return _send(req, backend, mat, Resource.INDEX, "application/x-git-packed-objects-toc")


def get_loose_object(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """A loose object, compressed."""
    try:
        repo, hidden = open_for(req, backend, mat)
    except ABSENT:
        yield no_repository(req, mat)
        return
    if hidden:
        yield req.not_found("Object not found")
        return
    if isinstance(repo, Repo):
        req.cache_forever()
        yield from _send_native(req, repo, mat, Resource.LOOSE)
        return
    sha = (mat.group(1) + mat.group(2)).encode("ascii")
    if not repo.object_store.contains_loose(sha):
        yield req.not_found("Object not found")
        return
    try:
        data = repo.object_store[sha].as_legacy_object()
    except OSError:
        yield req.error("Error reading object")
        return
    req.cache_forever()
    req.respond(HTTP_OK, "application/x-git-loose-object")
    yield data


def get_info_packs(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """Which packs there are."""
    req.nocache()
    try:
        repo, _hidden = open_for(req, backend, mat)
    except ABSENT:
        yield no_repository(req, mat)
        return
    req.respond(HTTP_OK, "text/plain")
    yield from generate_objects_info_packs(repo)
