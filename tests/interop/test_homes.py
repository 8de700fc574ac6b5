"""Several workers and one repository: its packs are made in one of them, whoever has the client."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.test_daemon import begin_clone, children, slow, until
from tests.support.client import Client
from tests.support.gits import Git, assert_sound, object_ids
from tests.support.history import HistoryShape
from tests.support.raw import FLUSH, Raw, pkt
from tests.support.repositories import feed_history
from tests.support.server import (
    Programs,
    Server,
    running_server,
)

__all__ = ["slow"]

pytestmark = pytest.mark.ours

WORKERS = 3
PROGRAM = """
import sys
from gitserve import cli
from gitserve.transport import homes
homes.PATIENCE = 60.0
sys.exit(cli.main())
"""
PATIENT = (sys.executable, "-c", PROGRAM)
"""gitserve, except that a home has time to answer, however much else this machine does."""

CLONES = 8
"""At a time."""


@pytest.fixture(params=["git", "http"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(scheme: str, base: Path, tmp_path: Path) -> Iterator[Server]:
    programs = Programs((*PATIENT, "daemon" if scheme == "git" else "http"), "", "")
    options = ["--export-all", f"--workers={WORKERS}", "--enable=receive-pack"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        server.scheme = scheme
        until(lambda: len(children(server.process.pid)) == WORKERS, "there are too few workers")
        yield server


@pytest.fixture
def packed(newest_git: Git, served: Path) -> Path:
    repository = served / "packed.git"
    newest_git.run("init", "-q", "--bare", repository)
    feed_history(newest_git, repository, 60, HistoryShape(commits=60, files=40, lines=30))
    newest_git.run("repack", "-adq", cwd=repository)
    return repository


def makers(server: Server) -> list[int]:
    """The workers that have read most of a large pack; to see what is wanted takes little."""
    return [pid for pid in children(server.process.pid) if read_of_packs(pid) > 16 << 20]


def read_of_packs(pid: int) -> int:
    """Bytes."""
    mapped = Path(f"/proc/{pid}/smaps").read_text()
    found = re.finditer(r"(?m)\.pack$(?:\n\w+:.*)*?\nRss: +(\d+) kB", mapped)
    return sum(int(one[1]) << 10 for one in found)


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def with_clients(server: Server) -> set[int]:
    """The workers that have had requests."""
    log = server.log_path.read_text()
    asked = re.findall(r"(?m)^\[(\d+)\] (?:Request upload-pack |\S+ POST )", log)
    return {int(pid) for pid in asked}


def begun(server: Server, repository: Path, git: Git) -> Raw:
    """As :func:`begin_clone`, over either road."""
    if server.scheme == "git":
        return begin_clone(server, repository, git)
    tip = git.text("rev-parse", "refs/heads/main", cwd=repository).encode()
    body = pkt(b"want " + tip + b"\n") + FLUSH + pkt(b"done\n")
    raw = Raw.to(server)
    raw.send(
        b"POST /%b/git-upload-pack HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: %d\r\n\r\n"
        % (os.fsencode(repository.relative_to(server.base)), len(body)),
        body,
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += raw.exactly(1)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in head
    assert head.count(b"HTTP/1.1") == head.count(b"Content-Type: ") == 1
    assert raw.packet() == b"NAK\n"
    assert raw.exactly(4) == b"PACK"
    return raw


def clones(client: Client, repository: Path, folder: Path, *options: str) -> list[Path]:
    """Several at once; where they are."""
    places = [folder / f"{number}.git" for number in range(CLONES)]
    threads = [
        threading.Thread(target=client.clone, args=(repository, place, "--bare", *options))
        for place in places
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return places


@pytest.mark.parametrize("version", [0, 2])
def test_packs_of_a_repository_are_made_in_one_worker(
    git: Git, version: int, programs: Programs, server: Server, slow: Path, tmp_path: Path
) -> None:
    git.run("repack", "-adq", cwd=slow)
    client = Client(git, version, "daemon", programs, server)
    for turn in range(50):
        for place in clones(client, slow, tmp_path / str(turn)):
            assert object_ids(git, place) == object_ids(git, slow)
        if len(with_clients(server)) > 1:
            break
    else:
        raise AssertionError("one worker got all clients")
    assert len(makers(server)) == 1
    server.assert_unharmed()


def test_pushes_and_fetches_take_turns(
    newest_git: Git, programs: Programs, server: Server, packed: Path, tmp_path: Path
) -> None:
    """What one worker takes in another one sends."""
    git = newest_git
    client = Client(git, 2, "daemon", programs, server)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs.git"
    client.clone(packed, ours)
    client.clone(packed, theirs, "--mirror")
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    for number in range(20):
        (ours / "file").write_text(f"{number}\n" * 100)
        git.run("add", "file", cwd=ours)
        git.run(*who, "commit", "-qm", f"{number}", cwd=ours)
        git.run("push", "-q", "origin", "HEAD:refs/heads/pushed", cwd=ours)
        git.run("fetch", "-q", "origin", cwd=theirs)
        assert git.text("rev-parse", "pushed", cwd=theirs) == git.text("rev-parse", "@", cwd=ours)
    assert_sound(git, theirs)
    server.assert_unharmed()


def test_a_home_is_killed(
    newest_git: Git, programs: Programs, server: Server, slow: Path, tmp_path: Path
) -> None:
    """Its clients hear no more; the next get everything."""
    newest_git.run("repack", "-adq", cwd=slow)
    raws: list[Raw] = []
    workers = children(server.process.pid)
    before = {pid: open_files(pid) for pid in workers}
    while sum(open_files(pid) > before[pid] for pid in workers) < 2:
        assert len(raws) < 3 * CLONES, "one worker got all clients"
        raws += [begun(server, slow, newest_git) for _ in range(CLONES)]
    (home,) = makers(server)
    os.kill(home, signal.SIGKILL)
    for raw in raws:
        try:
            pack = b"PACK" + raw.rest()
        except ConnectionResetError:
            continue
        finally:
            raw.connection.close()
        judged = newest_git.run("index-pack", "--stdin", cwd=slow, stdin=pack, check=False)
        assert judged.returncode != 0
    until(lambda: "has ended" in server.log_path.read_text(), "nobody noticed")
    client = Client(newest_git, 2, "daemon", programs, server)
    for place in clones(client, slow, tmp_path):
        assert object_ids(newest_git, place) == object_ids(newest_git, slow)
