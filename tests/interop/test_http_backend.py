"""``gitserve http-backend`` beside ``git http-backend``: the same environment, the same answer."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import gitserve_programs

Form = Callable[[str], Path]

pytestmark = pytest.mark.ours

UPLOAD = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/x-git-upload-pack-request"}
PUSH = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/x-git-receive-pack-request"}
GET = {"REQUEST_METHOD": "GET"}


class Answered:
    """Status, headers, content and what went to the web server's log."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        assert done.returncode == 0, done.stderr
        head, self.blank, self.content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n") if line]
        self.headers = {name.lower(): value for name, value in lines}
        self.status = self.headers.pop("status", "200 OK")
        self.log = done.stderr.decode()


def backend(program: str, environ: dict[str, str], body: bytes = b"") -> Answered:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    server = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1"}
    return Answered(
        subprocess.run(
            [program, "http-backend"], input=body, capture_output=True, timeout=60,
            env={**kept, **quiet, **server, **environ},
        )
    )  # fmt: skip


def ours(environ: dict[str, str], body: bytes = b"") -> Answered:
    return backend(gitserve_programs().daemon[0], environ, body)


@pytest.fixture
def place(form: Form) -> dict[str, str]:
    return {"GIT_PROJECT_ROOT": str(form("small").parent), "GIT_HTTP_EXPORT_ALL": ""}


@pytest.mark.parametrize(
    ("said", "path"),
    [
        (GET, "/HEAD"),
        (GET, "/info/refs"),
        (GET | {"QUERY_STRING": "service=git-upload-pack"}, "/info/refs"),
        (GET | {"QUERY_STRING": "service=git-receive-pack"}, "/info/refs"),
        (GET | {"QUERY_STRING": "service=git-receive-pack", "REMOTE_USER": "x"}, "/info/refs"),
        (GET | {"QUERY_STRING": "service=git-nothing"}, "/info/refs"),
        (
            GET | {"QUERY_STRING": "service=git-upload-pack", "GIT_PROTOCOL": "version=2"},
            "/info/refs",
        ),
        (GET, "/refs/heads/main"),
        (GET, "/objects/pack/pack-" + "0" * 40 + ".pack"),
        (GET, "/git-upload-pack"),
        (UPLOAD, "/info/refs"),
        (UPLOAD, "/git-upload-pack"),
        (UPLOAD, "/git-receive-pack"),
        (UPLOAD | {"CONTENT_TYPE": "text/plain"}, "/git-upload-pack"),
        (PUSH, "/git-receive-pack"),
        (PUSH | {"REMOTE_USER": "somebody"}, "/git-receive-pack"),
        (GET, "/../small/HEAD"),
        (GET, "//HEAD"),
        ({}, "/HEAD"),
    ],
)
def test_same_status(
    place: dict[str, str], form: Form, newest_git: Git, said: dict[str, str], path: str
) -> None:
    asked = {**place, **said, "PATH_INFO": f"/{form('small').name}{path}"}
    body = b"0000" if said.get("REQUEST_METHOD") == "POST" else b""
    if body:
        asked["CONTENT_LENGTH"] = str(len(body))
    theirs, mine = backend(newest_git.path, asked, body), ours(asked, body)
    assert mine.status == theirs.status, mine.log
    if mine.status == "200 OK" and ("QUERY_STRING" in said or body):
        for name in ("content-type", "cache-control", "expires", "pragma"):
            assert mine.headers.get(name) == theirs.headers.get(name)
    assert (mine.log == "") is (mine.status == "200 OK" or path.startswith("/objects/"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("announced", [False, True])
def test_a_fetch(
    place: dict[str, str], form: Form, newest_git: Git, packed: bool, announced: bool
) -> None:
    repository = form("small")
    tip = newest_git.text("rev-parse", "HEAD", cwd=repository)
    want = f"want {tip}\n".encode()
    body = b"%04x%b00000009done\n" % (len(want) + 4, want)
    asked = {**place, **UPLOAD, "PATH_INFO": f"/{repository.name}/git-upload-pack"}
    if packed:
        body = gzip.compress(body)
        asked["HTTP_CONTENT_ENCODING"] = "gzip"
    if announced:
        asked["CONTENT_LENGTH"] = str(len(body))
    answer = ours(asked, body)
    assert (answer.status, answer.log) == ("200 OK", "")
    assert answer.content.startswith(b"0008NAK\nPACK")
    if announced:
        short = ours(asked, body[:10])
        assert short.status == "400 Bad Request"
        assert "fatal: " in short.log


def test_wrong_environments(place: dict[str, str], form: Form) -> None:
    name = form("small").name
    assert "No REQUEST_METHOD" in ours({**place, "PATH_INFO": f"/{name}/HEAD"}).log
    assert "PATH_INFO is not" in ours({**place, **GET}).log
    assert "No GIT_PROJECT_ROOT or PATH_TRANSLATED" in ours(dict(GET)).log
    long = ours({**place, **UPLOAD, "PATH_INFO": f"/{name}/HEAD", "CONTENT_LENGTH": "9" * 19})
    assert long.status == "400 Bad Request"
    assert "CONTENT_LENGTH" in long.log


def test_translated_paths_and_exports(form: Form) -> None:
    repository = form("small")
    asked = {**GET, "PATH_TRANSLATED": f"{repository.parent}//{repository.name}/HEAD"}
    assert ours(asked).content.startswith(b"ref: refs/heads/")
    mark = repository / "git-daemon-export-ok"
    mark.unlink()
    try:
        assert ours(asked).status == "404 Not Found", "it is not exported"
        assert ours({**asked, "GIT_HTTP_EXPORT_ALL": "1"}).status == "200 OK"
    finally:
        mark.touch()
    climbing = f"{repository.parent}/x/../{repository.name}/HEAD"
    told = ours({**asked, "GIT_HTTP_EXPORT_ALL": "1", "PATH_TRANSLATED": climbing})
    assert told.status == "500 Internal Server Error"
    assert "aliased" in told.log


@pytest.mark.parametrize("in_chunks", [False, True])
def test_the_largest_request(newest_git: Git, lively: Path, in_chunks: bool) -> None:
    """``http.maxRequestBuffer``, and the variable that goes before it, as git-http-backend(1) has
    them; git breaks its answer off where we say what is wrong."""
    prefixes = b"".join(b"0026ref-prefix refs/heads/main%08d" % n for n in range(300))
    body = b"0014command=ls-refs\n0001" + prefixes + b"0000"
    environ = {
        "GIT_PROJECT_ROOT": str(lively.parent), "GIT_HTTP_EXPORT_ALL": "", **UPLOAD,
        "PATH_INFO": f"/{lively.name}/git-upload-pack", "GIT_PROTOCOL": "version=2",
        "QUERY_STRING": "",
    }  # fmt: skip
    if not in_chunks:
        environ["CONTENT_LENGTH"] = str(len(body))

    def both(said: str | None) -> tuple[bool, str]:
        env = environ if said is None else {**environ, "GIT_HTTP_MAX_REQUEST_BUFFER": said}
        theirs = backend(newest_git.path, env, body)
        return "larger than our maximum" in theirs.log, ours(env, body).status.split()[0]

    assert both(None) == (False, "200")
    newest_git.run("config", "http.maxRequestBuffer", "9k", cwd=lively)
    assert both(None) == (True, "413")
    assert both("100k") == (False, "200")
    newest_git.run("config", "http.maxRequestBuffer", "100k", cwd=lively)
    assert both(None) == (False, "200")
    assert both("9k") == (True, "413")
    assert ours({**environ, "GIT_HTTP_MAX_REQUEST_BUFFER": "much"}, body).status.startswith("500")
