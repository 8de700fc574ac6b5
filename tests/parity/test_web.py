"""``gitserve.web`` as people who know ``dulwich.web`` use it, with real git at the other end."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import pytest
from gitserve.repo import Repo
from gitserve.server import DictBackend, FileSystemBackend
from gitserve.web import (
    HTTPGitApplication,
    HTTPGitRequest,
    WSGIRequestHandlerLogger,
    WSGIServerLogger,
    date_time_string,
    folder_application,
    make_wsgi_chain,
)

from tests.support.gits import Git, assert_sound, installed_gits, object_ids
from tests.support.repositories import small

pytestmark = pytest.mark.ours


@pytest.fixture
def repository(tmp_path: Path, newest_git: Git) -> Path:
    small(newest_git, tmp_path / "served" / "small.git")
    return tmp_path / "served" / "small.git"


@pytest.fixture
def url(repository: Path) -> Iterator[str]:
    app = make_wsgi_chain(DictBackend({"/": Repo(repository)}))
    server = make_server(
        "127.0.0.1", 0, app,
        server_class=WSGIServerLogger, handler_class=WSGIRequestHandlerLogger,
    )  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize("git", installed_gits(), ids=lambda git: git.version)
@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_clone_and_push(git: Git, version: str, url: str, repository: Path, tmp_path: Path) -> None:
    options = ["-c", f"protocol.version={version}", "-c", "http.postBuffer=65536"]
    clone = tmp_path / "clone"
    git.run(*options, "clone", "--quiet", url, clone)
    assert object_ids(git, clone, "origin/main") == object_ids(git, repository, "main")
    (clone / "large").write_bytes(bytes(range(256)) * 1024 + tmp_path.name.encode())
    git.run("add", "large", cwd=clone)
    git.run("commit", "-qm", "large", cwd=clone)
    git.run(*options, "push", "--quiet", "origin", "HEAD:refs/heads/new", cwd=clone)
    assert_sound(git, repository)
    assert object_ids(git, repository, "new") == object_ids(git, clone, "HEAD")


def test_dumb_clone(url: str, newest_git: Git, repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    newest_git.run("clone", "--quiet", url, clone, env={"GIT_SMART_HTTP": "0"})
    assert object_ids(newest_git, clone, "origin/main") == object_ids(
        newest_git, repository, "main"
    )


def call(app: Any, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Any:
    """Status, headers and body."""
    begun: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Any, _error: object = None) -> Any:
        begun[:] = [status, dict(headers)]
        return written.append

    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "",
        "wsgi.input": io.BytesIO(body), **headers,
    }  # fmt: skip
    rest = b"".join(app(environ, start_response))
    return (*begun, b"".join(written) + rest)


def test_an_answer_ends_behind_its_request(repository: Path) -> None:
    """git takes what it could not send any more for the beginning of its next request."""
    app = make_wsgi_chain(DictBackend({"/": Repo(repository)}))
    body = io.BytesIO(b"1c\r\n0014command=ls-refs\n00010000\r\n0\r\n\r\n")
    status, _, answer = call(
        app, "/git-upload-pack", "POST", HTTP_TRANSFER_ENCODING="chunked",
        HTTP_GIT_PROTOCOL="version=2", CONTENT_TYPE="application/x-git-upload-pack-request",
        **{"wsgi.input": body},
    )  # fmt: skip
    assert (status, answer[-4:]) == ("200 OK", b"0000")
    assert body.tell() == len(body.getvalue())


def test_gzip_in_chunks(repository: Path) -> None:
    app = make_wsgi_chain(DictBackend({"/": Repo(repository)}))
    sent = gzip.compress(b"0014command=ls-refs\n00010000")
    status, _, body = call(
        app, "/git-upload-pack", "POST", b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent),
        HTTP_TRANSFER_ENCODING="chunked", HTTP_CONTENT_ENCODING="gzip",
        HTTP_GIT_PROTOCOL="version=2", CONTENT_TYPE="application/x-git-upload-pack-request",
    )  # fmt: skip
    assert (status, b"refs/heads/main" in body) == ("200 OK", True)


def test_a_body_that_is_no_gzip(repository: Path) -> None:
    app = make_wsgi_chain(DictBackend({"/": Repo(repository)}))
    status, _, body = call(
        app, "/git-upload-pack", "POST", b"0000", HTTP_CONTENT_ENCODING="gzip",
        CONTENT_LENGTH="4", CONTENT_TYPE="application/x-git-upload-pack-request",
    )  # fmt: skip
    assert status == "400 Bad Request"
    assert b"0000" not in body


@pytest.mark.parametrize(
    "path", ["/none", "/../outside.git", "/small.git/../../outside.git", "/a\0"]
)
@pytest.mark.parametrize("resource", ["/HEAD", "/info/refs", "/objects/info/packs"])
def test_what_is_not_there(repository: Path, newest_git: Git, path: str, resource: str) -> None:
    small(newest_git, repository.parent.parent / "outside.git")
    app = make_wsgi_chain(FileSystemBackend(repository.parent))
    status, headers, body = call(app, path + resource)
    assert status == "404 Not Found"
    assert headers["Content-Type"] == "text/plain"
    assert str(repository.parent).encode() not in body


def test_routes_and_fallback() -> None:
    def fallback(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"a page"]

    app = HTTPGitApplication(DictBackend({}), fallback_app=fallback)
    assert call(app, "/about")[2] == b"a page"
    assert call(HTTPGitApplication(DictBackend({})), "/about")[0] == "404 Not Found"


def test_a_date_is_one_that_http_knows() -> None:
    assert date_time_string(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    request = HTTPGitRequest({}, lambda *_: len)
    request.cache_forever()
    assert ("Cache-Control", "public, max-age=31536000") in request._cache_headers


def test_a_folder(repository: Path) -> None:
    closed = folder_application(str(repository.parent), export_all=True)
    assert call(closed, "/small.git/HEAD")[2] == b"ref: refs/heads/main\n"
    query = {"QUERY_STRING": "service=git-receive-pack"}
    assert call(closed, "/small.git/info/refs", **query)[0] == "403 Forbidden"
    opened = folder_application(str(repository.parent), export_all=True, push=True)
    assert call(opened, "/small.git/info/refs", **query)[0] == "200 OK"
