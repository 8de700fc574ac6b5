"""The server is killed (``kill -9``) at random moments while several clients push."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.crash.conftest import FULL
from tests.crash.pushes import leftovers, let_pass
from tests.support.gits import assert_sound, installed_gits, refs
from tests.support.server import HOST, Server, gitserve_programs, running_server

GIT = installed_gits()[0]
CLIENTS = 3
KILLS = 40 if FULL else 4


class Client(threading.Thread):
    """Pushes commit after commit to a branch of its own, whether or not a server is there."""

    def __init__(self, number: int, work: Path, is_over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.branch = f"refs/heads/client{number}"
        self.url = ""
        self.acknowledged: list[str] = []
        self.sent: list[str] = []
        self.failure: BaseException | None = None
        self._work = work
        self._is_over = is_over

    def run(self) -> None:
        """Until it is over."""
        try:
            self._push()
        except BaseException as error:
            self.failure = error
            raise

    def _push(self) -> None:
        tree = GIT.text("rev-parse", "HEAD^{tree}", cwd=self._work)
        parent = GIT.text("rev-parse", "HEAD", cwd=self._work)
        while not self._is_over.is_set():
            message = f"{self.branch} {len(self.sent)}"
            commit = GIT.text("commit-tree", tree, "-p", parent, "-m", message, cwd=self._work)
            self.sent.append(commit)
            done = GIT.run(
                "push", "-q", self.url, f"+{commit}:{self.branch}", cwd=self._work, check=False
            )
            if done.returncode == 0:
                self.acknowledged.append(commit)
                parent = commit


@pytest.mark.timeout(1200 if FULL else 200)
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """What a client was told is there; its next push goes through after every start."""
    # the tests' own configuration says that nothing need be waited for
    configuration = tmp_path / "gitconfig"
    configuration.write_text("[user]\n\tname = A\n\temail = a@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(configuration))
    rng = random.Random(workers)
    base, repository, work = tmp_path, tmp_path / "repository.git", tmp_path / "work"
    make_work(work)
    GIT.run("init", "-q", "--bare", repository)
    is_over = threading.Event()
    clients = [Client(number, work, is_over) for number in range(CLIENTS)]
    for life in range(KILLS):
        with running(base, workers) as server:
            for client in clients:
                client.url = server.url(repository)
                if life == 0:
                    client.start()
            before = [len(client.acknowledged) for client in clients]
            while any(
                len(client.acknowledged) == count and client.is_alive()
                for client, count in zip(clients, before, strict=True)
            ):
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.15))
            told = {client.branch: client.acknowledged[-1] for client in clients}
            server.process.kill()
            server.process.wait(30)
            wait_until_nobody_listens(server.port)
        assert_sound(GIT, repository)
        found = refs(GIT, repository)
        for client in clients:
            commit = told[client.branch]
            later = client.sent[client.sent.index(commit) :]
            assert found[client.branch] in later, "an acknowledged push is gone"
    is_over.set()
    for client in clients:
        client.join(60)
        assert client.failure is None
    let_pass(repository, seconds=120)
    with running(base, workers) as server:
        for client in clients:
            GIT.run("push", server.url(repository), f"+HEAD:{client.branch}", cwd=work)
    assert_sound(GIT, repository)
    assert leftovers(repository) == []


def make_work(work: Path) -> None:
    """A repository with one commit."""
    GIT.run("init", "-q", work)
    (work / "file").write_text("content\n")
    GIT.run("add", ".", cwd=work)
    GIT.run("commit", "-q", "-m", "first", cwd=work)


def running(base: Path, workers: int) -> AbstractContextManager[Server]:
    """A daemon that takes pushes."""
    options = ["--export-all", "--enable=receive-pack", f"--workers={workers}"]
    return running_server(gitserve_programs(), base, base / "log", options)


def wait_until_nobody_listens(port: int) -> None:
    """Worker processes do not outlive the one that made them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1.0).close()
        except OSError:
            return
        time.sleep(0.02)
    raise AssertionError("somebody still listens")
