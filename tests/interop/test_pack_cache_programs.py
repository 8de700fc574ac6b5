"""Remembered packs in programs that somebody else starts: sshd, a web server, a WSGI server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from gitserve.web import folder_application

from tests.interop.test_http_backend import UPLOAD, ours
from tests.interop.test_pack_cache import (
    SIZE,
    Serve,
    check_pack,
    clone,
    outcomes,
    packs,
    repository,
    serve,
    url,
)
from tests.support.gits import Git, assert_sound, object_ids
from tests.support.raw import FLUSH, pkt
from tests.support.server import gitserve_programs

__all__ = ["packs", "repository", "serve"]

pytestmark = pytest.mark.ours


def kept(packs: Path) -> list[Path]:
    return list(packs.glob("*.pack"))


@pytest.mark.parametrize("said", ["option", "variable"])
def test_stdio(newest_git: Git, repository: Path, packs: Path, tmp_path: Path, said: str) -> None:
    program = gitserve_programs().upload_pack
    env = {"GIT_TRACE2_EVENT": str(tmp_path / "events")}
    if said == "option":
        program += f" --pack-cache={packs} --pack-cache-size=100"
    else:
        env |= {"GITSERVE_PACK_CACHE": str(packs), "GITSERVE_PACK_CACHE_SIZE": "100"}
    for nth in range(3):
        to = tmp_path / f"{nth}.git"
        newest_git.run("clone", "-q", "--bare", "-u", program, f"file://{repository}", to, env=env)
        assert_sound(newest_git, to)
        assert object_ids(newest_git, to) == object_ids(newest_git, repository)
    assert len(kept(packs)) == 1
    told = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    found = [event["value"] for event in told if event.get("category") == "pack-cache"]
    whole = kept(packs)[0].stat().st_size
    assert [words.partition(";")[0] for words in found] == ["pack made", "pack made", "pack kept"]
    # no process serves two requests: the folder counts for all
    *counts, bytes_ = found[-1].split()[2:]
    assert counts == ["hits=1", "misses=2", "followers=0"]
    assert int(bytes_.partition("=")[2]) <= 3 * whole


def test_a_folder_that_cannot_be_used_is_none(
    newest_git: Git, repository: Path, packs: Path, tmp_path: Path
) -> None:
    packs.mkdir(mode=0o755)
    program = f"{gitserve_programs().upload_pack} --pack-cache={packs}"
    done = newest_git.run("clone", "-q", "-u", program, f"file://{repository}", tmp_path / "to")
    assert b"warning: pack cache: " in done.stderr
    for words, complaint in (
        ("--pack-cache=", b"needs a folder"),
        (f"--pack-cache={packs} --pack-cache-size=much", b"no number"),
    ):
        failed = subprocess.run(
            [*gitserve_programs().upload_pack.split(), *words.split(), repository],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert (failed.returncode, failed.stdout) == (128, b"")
        assert complaint in failed.stderr


def test_cgi(newest_git: Git, repository: Path, packs: Path, tmp_path: Path) -> None:
    tip = newest_git.text("rev-parse", "main", cwd=repository).encode()
    body = pkt(b"want " + tip + b" ofs-delta") + FLUSH + pkt(b"done")
    asked = {
        **UPLOAD,
        "GIT_PROJECT_ROOT": str(repository.parent),
        "GIT_HTTP_EXPORT_ALL": "",
        "PATH_INFO": f"/{repository.name}/git-upload-pack",
        "CONTENT_LENGTH": str(len(body)),
        "GITSERVE_PACK_CACHE": str(packs),
    }
    answers = [ours(asked, body) for _ in range(3)]
    assert [answer.status for answer in answers] == ["200 OK"] * 3
    assert len(kept(packs)) == 1
    for answer in answers:
        assert answer.content == answers[0].content
        check_pack(newest_git, repository, answer.content.removeprefix(pkt(b"NAK\n")), tmp_path)
    wrong = ours(asked | {"GITSERVE_PACK_CACHE_SIZE": "-1"}, body)
    assert wrong.status == "500 Internal Server Error"


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextlib.contextmanager
def wsgi(application: object) -> Iterator[int]:
    """Its port."""
    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("said", ["argument", "variable"])
def test_wsgi_shares_with_the_daemon(
    newest_git: Git, repository: Path, packs: Path, serve: Serve, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], said: str,
) -> None:  # fmt: skip
    if said == "variable":
        monkeypatch.setenv("GITSERVE_PACK_CACHE", str(packs))
    argument = str(packs) if said == "argument" else None
    application = folder_application(
        str(repository.parent), export_all=True, pack_cache=argument, verbose=True
    )
    with serve() as daemon:
        for nth in range(2):
            clone(newest_git, url(daemon, repository), tmp_path / f"{nth}.git")
        assert outcomes(daemon, 2) == ["made", "made"]
    with wsgi(application) as port:
        to = tmp_path / "web.git"
        clone(newest_git, f"http://127.0.0.1:{port}/{repository.name}", to)
    assert object_ids(newest_git, to) == object_ids(newest_git, repository)
    assert "pack kept; hits=1 misses=2 followers=0" in capfd.readouterr().err
    assert kept(packs)[0].stat().st_size > SIZE


def test_off_unless_somebody_says_otherwise(repository: Path, packs: Path) -> None:
    with pytest.raises(ValueError, match="no number"):
        folder_application(str(repository), pack_cache=str(packs), pack_cache_size=-1)
    assert not packs.exists()
    assert "GITSERVE_PACK_CACHE" not in os.environ
