"""The application, called as a WSGI server calls it: statuses, headers, and nothing given away."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gitserve.options import HttpLimits
from gitserve.transport.exports import Exports
from gitserve.transport.httpapp import GitHttp, find_exported
from gitserve.transport.log import Log
from gitserve.transport.services import service_rules

from tests.support.gits import Git
from tests.support.kept_log import KeptLog
from tests.support.raw import FLUSH, pkt
from tests.support.repositories import small

UPLOAD = "application/x-git-upload-pack-request"
RECEIVE = "application/x-git-receive-pack-request"


class Reply:
    """An answer, taken as a server takes it."""

    def __init__(self, app: GitHttp, environ: dict[str, Any]) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        self.written: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _error: object = None, /
        ) -> Callable[[bytes], object]:
            assert not self.status, "an answer begins once"
            self.status, self.headers = status, dict(headers)
            return self.written.append

        answer = app(environ, start_response)
        assert self.status, "the status is known when the application returns"
        try:
            self.body = b"".join([*self.written, *answer])
        finally:
            if hasattr(answer, "close"):
                answer.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    folder = tmp_path_factory.mktemp("http")
    small(newest_git, folder / "served" / "small.git")
    small(newest_git, folder / "outside.git")
    (folder / "served" / "link.git").symlink_to(folder / "outside.git")
    return folder


@pytest.fixture
def ask(root: Path) -> Callable[..., Reply]:
    exports = Exports(base_path=str(root / "served"), export_all=True)

    def asked(
        path: str, method: str = "GET", body: bytes | None = None, query: str = "", *,
        push: bool = False, limits: HttpLimits | None = None, **headers: str,
    ) -> Reply:  # fmt: skip
        services = service_rules(["receive-pack"] if push else ())
        app = GitHttp(
            find_exported(exports), services, limits=limits or HttpLimits(), log=Log(None)
        )
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query,
            "wsgi.input": io.BytesIO(body or b""), **headers,
        }  # fmt: skip
        if body is not None and "HTTP_TRANSFER_ENCODING" not in headers:
            environ.setdefault("CONTENT_LENGTH", str(len(body)))
        reply = Reply(app, environ)
        assert str(root).encode() not in reply.body
        assert b"Traceback" not in reply.body
        return reply

    return asked


Ask = Callable[..., Reply]
V2_REFS = pkt(b"command=ls-refs\n") + b"0001" + FLUSH


def test_advertisements(ask: Ask) -> None:
    reply = ask("/small.git/info/refs", query="service=git-upload-pack")
    assert reply.status == "200 OK"
    assert reply.headers["Content-Type"] == "application/x-git-upload-pack-advertisement"
    assert reply.headers["Cache-Control"] == "no-cache, max-age=0, must-revalidate"
    assert reply.body.startswith(pkt(b"# service=git-upload-pack\n") + FLUSH)
    assert int(reply.headers["Content-Length"]) == len(reply.body)
    query = {"query": "service=git-upload-pack"}
    assert ask("/small.git/info/refs", HTTP_GIT_PROTOCOL="version=2", **query).body.startswith(
        pkt(b"version 2\n")
    )
    one = ask("/small.git/info/refs", HTTP_GIT_PROTOCOL="version=1", **query).body
    assert one.startswith(pkt(b"# service=git-upload-pack\n") + FLUSH + pkt(b"version 1\n"))
    assert ask("/small.git/info/refs", method="HEAD", **query).body == b""


def test_a_service_answers(ask: Ask) -> None:
    reply = ask(
        "/small.git/git-upload-pack", "POST", V2_REFS,
        CONTENT_TYPE=UPLOAD, HTTP_GIT_PROTOCOL="version=2",
    )  # fmt: skip
    assert reply.status == "200 OK"
    assert reply.headers["Content-Type"] == "application/x-git-upload-pack-result"
    assert b"refs/heads/main" in reply.body


def test_gzip_in_chunks(ask: Ask) -> None:
    sent = gzip.compress(V2_REFS)
    chunked = b"".join(b"%x\r\n%b\r\n" % (1, sent[i : i + 1]) for i in range(len(sent)))
    reply = ask(
        "/small.git/git-upload-pack", "POST", chunked + b"0\r\n\r\n", CONTENT_TYPE=UPLOAD,
        HTTP_GIT_PROTOCOL="version=2", HTTP_TRANSFER_ENCODING="chunked",
        HTTP_CONTENT_ENCODING="gzip",
    )  # fmt: skip
    assert b"refs/heads/main" in reply.body


@pytest.mark.parametrize(
    "path",
    [
        "/none.git",
        "/link.git",
        "/../outside.git",
        "/small.git/../../outside.git",
        "/./small.git",
        "//small.git",
        "/small.git/",
        "small.git",
        "",
        "/small.git\0",
        "/%2e%2e/outside.git",
        "/-small.git",
        "/~root/small.git",
        "/" + "a" * 5000,
        "/\xff\xfe.git",
    ],
)
@pytest.mark.parametrize(
    ("resource", "method"),
    [("/info/refs", "GET"), ("/HEAD", "GET"), ("/git-upload-pack", "POST")],
)
def test_what_may_not_be_had_looks_as_if_it_were_not_there(
    ask: Ask, path: str, resource: str, method: str
) -> None:
    if path == "/small.git/" and resource == "/HEAD":
        path = "/none.git"  # a slash too many is harmless; it is the daemon's rule as well
    reply = ask(path + resource, method, query="service=git-upload-pack", CONTENT_TYPE=UPLOAD)
    if path == "/small.git/":
        assert reply.status in ("200 OK", "400 Bad Request", "404 Not Found")
        return
    assert (reply.status, reply.body) == ("404 Not Found", b"Not Found\n")


@pytest.mark.parametrize(
    ("path", "method", "query", "headers", "status"),
    [
        ("/info/refs", "GET", "service=git-receive-pack", {}, 403),
        ("/info/refs", "GET", "service=git-upload-archive", {}, 403),
        ("/info/refs", "GET", "service=upload-pack", {}, 403),
        ("/info/refs", "GET", "service=", {}, 403),
        ("/git-receive-pack", "POST", "", {"CONTENT_TYPE": RECEIVE}, 403),
        ("/git-upload-pack", "GET", "", {}, 405),
        ("/info/refs", "DELETE", "", {}, 405),
        ("/git-upload-pack", "POST", "", {"CONTENT_TYPE": "text/plain"}, 415),
        ("/git-upload-pack", "POST", "", {}, 415),
        ("/git-upload-pack", "POST", "", {"CONTENT_TYPE": RECEIVE}, 415),
        ("/config", "GET", "", {}, 404),
        ("/objects/00/" + "0" * 38, "GET", "", {}, 404),
    ],
)
def test_statuses(
    ask: Ask, path: str, method: str, query: str, headers: dict[str, str], status: int
) -> None:
    reply = ask("/small.git" + path, method, query=query, **headers)
    assert reply.status.split()[0] == str(status)


@pytest.mark.parametrize("service", ["upload", "receive"])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"0010short", {"CONTENT_LENGTH": "100"}, 400),
        (b"0010", {"CONTENT_LENGTH": "ten"}, 400),
        (b"not gzip", {"HTTP_CONTENT_ENCODING": "gzip"}, 400),
        (
            gzip.compress(pkt(bytes(range(256))), mtime=0)[:100],
            {"HTTP_CONTENT_ENCODING": "gzip"},
            400,
        ),
        (b"zz\r\n", {"HTTP_TRANSFER_ENCODING": "chunked"}, 400),
        (b"", {"HTTP_CONTENT_ENCODING": "br"}, 415),
        (gzip.compress(pkt(b"x" * 60000) * 500, mtime=0), {"HTTP_CONTENT_ENCODING": "gzip"}, 413),
    ],
)
def test_bodies_that_lie(
    ask: Ask, service: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    reply = ask(
        f"/small.git/git-{service}-pack", "POST", body, push=True,
        CONTENT_TYPE=f"application/x-git-{service}-pack-request",
        limits=HttpLimits(max_expansion=10, expansion_counts_from=1000), **headers,
    )  # fmt: skip
    assert reply.status.split()[0] == str(status)
    assert b"0000" not in reply.body, "an error of HTTP is none of Git's packets"


def test_a_damaged_request_is_told_in_gits_way(ask: Ask) -> None:
    body = pkt(b"command=none\n") + FLUSH
    reply = ask(
        "/small.git/git-upload-pack", "POST", body,
        CONTENT_TYPE=UPLOAD, HTTP_GIT_PROTOCOL="version=2",
    )  # fmt: skip
    assert reply.status == "200 OK"
    assert reply.body == pkt(b"ERR serve: invalid command 'none'")


def test_a_client_that_goes_away_ends_the_transfer(root: Path, newest_git: Git) -> None:
    tip = newest_git.text("rev-parse", "main", cwd=root / "served/small.git").encode()
    body = pkt(b"command=fetch\n") + b"0001" + pkt(b"want " + tip + b"\n") + pkt(b"done\n") + FLUSH
    log = KeptLog()
    exports = Exports(base_path=str(root / "served"), export_all=True)
    answer = GitHttp(find_exported(exports), log=log)(
        {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/small.git/git-upload-pack",
            "CONTENT_TYPE": UPLOAD, "CONTENT_LENGTH": str(len(body)),
            "HTTP_GIT_PROTOCOL": "version=2", "wsgi.input": io.BytesIO(body),
        },
        lambda *_: len,
    )  # fmt: skip
    assert next(iter(answer))
    assert not log.lines
    answer.close()  # type: ignore[attr-defined]
    assert len(log.lines) == 1
    assert "hung up" in log.lines[0]


def in_chunks(*pieces: bytes) -> bytes:
    return b"".join([b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]) + b"0\r\n\r\n"


@pytest.mark.parametrize("kind", ["ls-refs", "fetch", "v0", "push"])
def test_an_answer_ends_behind_its_request(root: Path, newest_git: Git, kind: str) -> None:
    """git takes what it could not send any more for the beginning of its next request."""
    repository = root / "served/small.git"
    tip = newest_git.text("rev-parse", "main", cwd=repository).encode()
    newest_git.run("update-ref", "refs/heads/gone", "main", cwd=repository)
    zero = b"0" * len(tip)
    content, headers = {
        "ls-refs": (V2_REFS, {"HTTP_GIT_PROTOCOL": "version=2"}),
        "fetch": (
            pkt(b"command=fetch") + b"0001" + pkt(b"want " + tip) + pkt(b"done") + FLUSH,
            {"HTTP_GIT_PROTOCOL": "version=2"},
        ),
        "v0": (pkt(b"want " + tip + b" ofs-delta") + FLUSH + pkt(b"done"), {}),
        "push": (pkt(tip + b" " + zero + b" refs/heads/gone\0report-status") + FLUSH, {}),
    }[kind]
    service = "git-receive-pack" if kind == "push" else "git-upload-pack"
    body = io.BytesIO(in_chunks(content))
    written: list[bytes] = []
    exports = Exports(base_path=str(root / "served"), export_all=True)
    app = GitHttp(find_exported(exports), service_rules(["receive-pack"]), log=Log(None))
    answer = app(
        {
            "REQUEST_METHOD": "POST", "PATH_INFO": f"/small.git/{service}",
            "CONTENT_TYPE": f"application/x-{service}-request",
            "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": body, **headers,
        },
        lambda *_: written.append,
    )  # fmt: skip
    written += answer
    assert b"".join(written)
    assert body.tell() == len(body.getvalue())
