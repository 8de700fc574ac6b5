"""Many at once, and real git at work on the repository meanwhile."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.repositories import feed_history
from tests.support.server import Programs, Server

Form = Callable[[str], Path]
CLONES = 32


@pytest.fixture
def client(newest_git: Git, programs: Programs, server: Server) -> Client:
    return Client(newest_git, 2, "daemon", programs, server)


@pytest.fixture
def busy(newest_git: Git, served: Path) -> Path:
    """A repository that takes a moment to send."""
    repository = served / "busy.git"
    newest_git.run("init", "-q", "--bare", repository)
    feed_history(newest_git, repository, 400, HistoryShape(commits=400, files=120, lines=60))
    return repository


def test_thirty_two_clones_at_once(client: Client, busy: Path, tmp_path: Path) -> None:
    def clone(number: int) -> list[str]:
        to = tmp_path / f"clone-{number}.git"
        client.clone(busy, to, "--bare", f"--depth={number}" if number % 4 == 3 else "--no-tags")
        if number % 8 == 0:
            assert_sound(client.git, to)
        return object_ids(client.git, to, "--branches")

    want = object_ids(client.git, busy, "--branches")
    with ThreadPoolExecutor(CLONES) as pool:
        for number, got in enumerate(pool.map(clone, range(CLONES))):
            assert number % 4 == 3 or got == want


@pytest.mark.parametrize(
    "maintenance",
    [
        ["repack", "-q", "-a", "-d", "-f", "--depth=20"],
        ["repack", "-q", "-a", "-d", "--max-pack-size=100k"],
        ["gc", "-q", "--prune=now"],
        ["pack-refs", "--all", "--prune"],
    ],
    ids=" ".join,
)
def test_clones_beside_maintenance(
    client: Client, busy: Path, tmp_path: Path, maintenance: list[str]
) -> None:
    """Packs and refs are replaced under the server's eyes, again and again."""
    done = threading.Event()
    rounds = 0

    def maintain() -> None:
        nonlocal rounds
        while not done.is_set():
            client.git.run(*maintenance, cwd=busy)
            rounds += 1

    def clone(number: int) -> None:
        to = tmp_path / f"clone-{number}.git"
        client.clone(busy, to, "--bare")
        assert object_ids(client.git, to) == want
        shutil.rmtree(to)

    want = object_ids(client.git, busy)
    with ThreadPoolExecutor(4) as pool:
        beside = pool.submit(maintain)
        try:
            list(pool.map(clone, range(16)))
        finally:
            done.set()
        beside.result()
    assert rounds > 0
    assert_sound(client.git, busy)


def test_pushes_at_once_to_different_branches(client: Client, lively: Path, tmp_path: Path) -> None:
    count = 12
    clones = []
    for number in range(count):
        clone = tmp_path / f"clone-{number}.git"
        client.clone(lively, clone, "--bare")
        client.git.run("remote", "add", "again", client.url(lively), cwd=clone)
        shape = HistoryShape(commits=4, files=3, lines=20, tag_every=0)
        feed_history(client.git, clone, 500 + number, shape, "refs/heads/main")
        clones.append(clone)

    def push(number: int) -> None:
        client.run("push", "-q", "again", f"main:refs/heads/from-{number}", cwd=clones[number])

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(push, range(count)))
    now = refs(client.git, lively)
    for number, clone in enumerate(clones):
        want = client.git.text("rev-parse", "main", cwd=clone)
        assert now[f"refs/heads/from-{number}"] == want
    assert_sound(client.git, lively)


def test_pushes_at_once_to_the_same_branch(client: Client, lively: Path, tmp_path: Path) -> None:
    """One of them wins, and exactly that one is told so."""
    count = 8
    clones = []
    for number in range(count):
        clone = tmp_path / f"clone-{number}.git"
        client.clone(lively, clone, "--bare")
        client.git.run("remote", "add", "again", client.url(lively), cwd=clone)
        shape = HistoryShape(commits=2, files=3, lines=20, tag_every=0)
        feed_history(client.git, clone, 600 + number, shape, "refs/heads/main")
        clones.append(clone)

    def push(number: int) -> bool:
        pushing = ("push", "-q", "again", "main")
        return client.run(*pushing, cwd=clones[number], check=False).returncode == 0

    with ThreadPoolExecutor(count) as pool:
        won = list(pool.map(push, range(count)))
    assert sum(won) == 1
    winner = client.git.text("rev-parse", "main", cwd=clones[won.index(True)])
    assert refs(client.git, lively)["refs/heads/main"] == winner
    assert_sound(client.git, lively)
