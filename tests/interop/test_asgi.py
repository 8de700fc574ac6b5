"""Git against the ASGI application, under uvicorn."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.test_hooks import add_hook
from tests.support.answers import ask
from tests.support.gits import Git, assert_sound, refs
from tests.support.server import HOST

pytestmark = pytest.mark.ours

SITE = """
from gitserve.asgi import folder_application
from gitserve.policy import Policy

class Rules(Policy):
    def may_write(self, request):
        return request.user == "ann"

def git():
    inner = folder_application(
        {base!r}, export_all=True, push=True, policy=Rules(),
        user=lambda scope: dict(scope["headers"]).get(b"x-user", b"").decode() or None,
    )
    return inner
"""


@contextmanager
def serving(base: Path, folder: Path) -> Iterator[tuple[str, Path, int]]:
    """URL, log, process."""
    folder.mkdir()
    (folder / "site_under_test.py").write_text(SITE.format(base=str(base)))
    log = folder / "log"
    with socket.socket() as listener, log.open("wb") as out:
        listener.bind((HOST, 0))
        listener.listen(64)
        process = subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", "--factory", "site_under_test:git",
                f"--app-dir={folder}", f"--fd={listener.fileno()}", "--log-level=info",
            ],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, pass_fds=[listener.fileno()],
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        port = listener.getsockname()[1]
        try:
            yield f"http://{HOST}:{port}", log, process.pid
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    assert "Traceback" not in log.read_text()


@pytest.fixture
def site(base: Path, tmp_path: Path) -> Iterator[tuple[str, Path, int]]:
    with serving(base, tmp_path / "site") as made:
        yield made


@pytest.fixture
def url(site: tuple[str, Path, int], base: Path, lively: Path) -> str:
    return f"{site[0]}/{lively.relative_to(base)}"


@pytest.mark.parametrize("version", [0, 1, 2])
def test_clone_fetch_push(git: Git, version: int, url: str, lively: Path, tmp_path: Path) -> None:
    work, protocol = tmp_path / "work", ["-c", f"protocol.version={version}"]
    git.run(*protocol, "clone", "-q", url, work)
    assert_sound(git, work)
    git.run("commit", "-q", "--allow-empty", "-m", "mine", cwd=work)
    refused = git.run(*protocol, "push", "-q", "origin", "HEAD:refs/heads/x", cwd=work, check=False)
    assert refused.returncode
    git.run("config", "http.extraHeader", "X-User: ann", cwd=work)
    # in chunks, when it is larger than the buffer
    git.run("config", "http.postBuffer", "70000", cwd=work)
    (work / "large").write_bytes(os.urandom(300_000))
    git.run("add", "large", cwd=work)
    git.run("commit", "-q", "-m", "large", cwd=work)
    git.run(*protocol, "push", "-q", "origin", "HEAD:refs/heads/x", cwd=work)
    assert refs(git, lively)["refs/heads/x"] == git.text("rev-parse", "HEAD", cwd=work)
    git.run(*protocol, "fetch", "-q", "--depth=1", "origin", cwd=work)
    assert_sound(git, lively)


def test_a_hook_is_heard_while_it_runs(
    newest_git: Git, url: str, lively: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    newest_git.run("clone", "-q", url, work)
    newest_git.run("commit", "-q", "--allow-empty", "-m", "mine", cwd=work)
    go_on = tmp_path / "go-on"
    add_hook(
        lively, "pre-receive",
        f"#!/bin/sh\necho waiting\nwhile ! test -e {go_on}; do sleep 0.02; done\necho done\n",
    )  # fmt: skip
    process = subprocess.Popen(
        [newest_git.path, "-c", "http.extraHeader=X-User: ann", "push", "origin", "HEAD:x"],
        cwd=work, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    while "remote: waiting" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    go_on.touch()
    said += process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    assert "remote: done" in said


def test_dumb_files_and_heads(url: str, lively: Path) -> None:
    for path in ("HEAD", "info/refs"):
        whole, head = ask(f"{url}/{path}"), ask(f"{url}/{path}", "HEAD")
        assert (whole.status, head.status, head.content) == (200, 200, b"")
        assert int(head.headers["Content-Length"]) == len(whole.content)
    assert (lively / "HEAD").read_bytes().startswith(b"ref:")


def large(git: Git, served: Path) -> Path:
    """A repository whose clone fills every buffer between us and a client that does not read."""
    repository = served / "large.git"
    git.run("init", "-q", "--bare", repository)
    blob = git.run(
        "hash-object", "-w", "--stdin", cwd=repository, stdin=os.urandom(48 << 20)
    ).stdout.decode().strip()  # fmt: skip
    tree = git.run(
        "mktree", cwd=repository, stdin=f"100644 blob {blob}\tlarge\n".encode()
    ).stdout.decode().strip()  # fmt: skip
    commit = git.text("commit-tree", "-m", "large", tree, cwd=repository)
    git.run("update-ref", "refs/heads/main", commit, cwd=repository)
    git.run("repack", "-adq", cwd=repository)
    return repository


def ask_for_all(site: str, base: Path, repository: Path, tip: str) -> socket.socket:
    """A connection that has asked for a clone, and reads nothing."""
    host, port = site.removeprefix("http://").split(":")
    body = b""
    for line in (b"command=fetch", b"agent=test", b"object-format=sha1"):
        body += b"%04x%b" % (len(line) + 4, line)
    body += b"0001"
    for line in (f"want {tip}".encode(), b"done"):
        body += b"%04x%b" % (len(line) + 4, line)
    body += b"0000"
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    connection.sendall(
        f"POST /{repository.relative_to(base)}/git-upload-pack HTTP/1.1\r\nHost: x\r\n"
        "Content-Type: application/x-git-upload-pack-request\r\nGit-Protocol: version=2\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return connection


def anonymous_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def until(is_so: object, what: str) -> None:
    deadline = time.monotonic() + 60
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_who_does_not_read_costs_little_and_may_go(
    newest_git: Git, site: tuple[str, Path, int], base: Path, served: Path
) -> None:
    url, _log, pid = site
    repository = large(newest_git, served)
    newest_git.run("ls-remote", f"{url}/{repository.relative_to(base)}")
    tip = newest_git.text("rev-parse", "main", cwd=repository)
    before, resting = anonymous_memory(pid), threads(pid)
    connections = [ask_for_all(url, base, repository, tip) for _ in range(4)]
    for connection in connections:
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    time.sleep(0.5)  # whoever produces without being asked has done so by now
    # four answers of 48 MB wait; others are served meanwhile
    assert anonymous_memory(pid) - before < 48 << 20
    newest_git.run("ls-remote", f"{url}/{repository.relative_to(base)}")
    for connection in connections:
        connection.close()
    until(lambda: threads(pid) <= resting, json.dumps([threads(pid), resting]))
