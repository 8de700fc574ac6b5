"""Pushes into repositories that keep their refs in tables: those of the other modules once more.

What is only here is what tables could do otherwise: many refs, real git at work beside us, logs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from gitserve.repo import Repo

from tests.interop.test_push import (  # noqa: F401
    clone,
    test_atomic_is_all_or_nothing,
    test_declined_push_leaves_no_objects,
    test_deletion,
    test_deny_deletes,
    test_deny_non_fast_forwards,
    test_fast_forward,
    test_force_with_lease,
    test_forced,
    test_from_a_shallow_clone,
    test_hooks_decide_and_speak,
    test_into_an_empty_repository,
    test_new_branch_and_tags,
    test_nothing_to_push,
)
from tests.support.client import Client
from tests.support.gits import Git, assert_sound, installed_gits, refs
from tests.support.repositories import new_bare

pytestmark = pytest.mark.ours

MANY = 3000


@pytest.fixture
def protocol() -> int:
    """Pushes are the same in all."""
    return 0


@pytest.fixture
def git(newest_git: Git) -> Git:
    """One that can look into these repositories; others are asked by name."""
    return newest_git


@pytest.fixture
def lively(form: Callable[[str], Path], served: Path, newest_git: Git) -> Path:
    repository = served / "lively.git"
    new_bare(newest_git, repository, "--ref-format=reftable")
    source = str(form("lively"))
    newest_git.run("fetch", "-q", source, "+refs/*:refs/*", cwd=repository)
    newest_git.run("repack", "-q", "-a", "-d", cwd=repository)
    return repository


def test_sha256(client: Client, lively: Path, tmp_path: Path) -> None:
    repository = lively.with_name("wide.git")
    new_bare(client.git, repository, "--ref-format=reftable", "--object-format=sha256")
    source = tmp_path / "source"
    client.git.run("init", "-q", "-b", "main", "--object-format=sha256", source)
    client.git.run("commit", "-q", "--allow-empty", "-m", "first", cwd=source)
    client.git.run("tag", "-a", "-m", "a tag", "v1", cwd=source)
    client.connect(source, repository)
    client.push(source, "main", "v1")
    assert_sound(client.git, repository)
    assert refs(client.git, repository) == refs(client.git, source, "refs/heads", "refs/tags")
    peeled = client.git.text("for-each-ref", "--format=%(*objectname)", "refs/tags", cwd=repository)
    assert peeled == client.git.text("rev-parse", "main", cwd=source)


def test_many_at_once_and_all_gone(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    commits = client.git.lines("rev-list", "main", cwd=clone)
    lines = [f"create refs/many/{n % 7}/{n} {commits[n % 9]}\n" for n in range(MANY)]
    client.git.run("update-ref", "--stdin", cwd=clone, stdin="".join(lines).encode())
    client.push(clone, "--atomic", "refs/many/*:refs/many/*")
    assert refs(client.git, lively, "refs/many") == refs(client.git, clone, "refs/many")
    client.push(clone, *(f":refs/many/{n % 7}/{n}" for n in range(0, MANY, 10)))
    assert len(refs(client.git, lively, "refs/many")) == MANY - MANY // 10
    assert_sound(client.git, lively)


def test_file_and_folder(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    before = refs(client.git, lively)
    done = client.push(clone, "main:refs/heads/main/below", check=False)
    assert done.returncode == 1
    assert b"[remote rejected]" in done.stdout
    assert refs(client.git, lively) == before
    client.push(clone, ":refs/heads/topic", "main:refs/heads/topic/below")
    now = refs(client.git, lively)
    assert "refs/heads/topic/below" in now
    assert "refs/heads/topic" not in now


def test_logs_are_gits(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    client.git.run("config", "core.logAllRefUpdates", "true", cwd=lively)
    old = refs(client.git, lively)["refs/heads/main"]
    client.push(clone, "main", "main:refs/heads/new")
    new = client.git.text("rev-parse", "main", cwd=clone)
    for name in ("HEAD", "main"):
        shown = client.git.lines("reflog", "show", "--format=%H %gs", name, cwd=lively)
        assert shown[0] == f"{new} push"
    assert client.git.text("rev-parse", "main@{1}", cwd=lively) == old
    assert client.git.text("rev-parse", "new@{0}", cwd=lively) == new
    client.push(clone, ":new", "main:new2")
    assert "refs/heads/new" not in client.git.lines("reflog", "list", cwd=lively)


@pytest.mark.parametrize("old_git", installed_gits(), ids=lambda git: f"git-{git.version}")
def test_every_client(client: Client, lively: Path, tmp_path: Path, old_git: Git) -> None:
    old = Client(old_git, client.protocol, client.road, client.programs, client.server)
    path = tmp_path / "clone"
    old.clone(lively, path)
    old_git.run("commit", "-q", "--allow-empty", "-m", "one more", cwd=path)
    old.push(path, "HEAD:main", "HEAD:refs/heads/other")
    want = old_git.text("rev-parse", "HEAD", cwd=path)
    now = refs(client.git, lively)
    assert (now["refs/heads/main"], now["refs/heads/other"]) == (want, want)


def test_exactly_one_wins_against_git_itself(
    client: Client,
    lively: Path,
    clone: Path,  # noqa: F811
) -> None:
    """A push and ``git update-ref`` start from the same value, again and again."""
    git = client.git
    commits = git.lines("rev-list", "--reverse", "main", cwd=clone)
    client.push(clone, "main")
    git.run("config", "receive.denyNonFastForwards", "false", cwd=lively)
    for attempt in range(12):
        base = commits[attempt]
        git.run("update-ref", "refs/heads/race", base, cwd=lively)
        pushed, moved = commits[attempt + 1], commits[attempt + 2]
        results: dict[str, int] = {}

        def push(pushed: str = pushed, base: str = base, into: dict[str, int] = results) -> None:
            lease = f"--force-with-lease=race:{base}"
            done = client.push(clone, lease, f"{pushed}:refs/heads/race", check=False)
            into["push"] = done.returncode

        def move(moved: str = moved, base: str = base, into: dict[str, int] = results) -> None:
            words = ("update-ref", "refs/heads/race", moved, base)
            into["git"] = git.run(*words, cwd=lively, check=False).returncode

        together(push, move)
        winners = [name for name, status in results.items() if status == 0]
        assert len(winners) == 1, results
        want = {"push": pushed, "git": moved}[winners[0]]
        assert refs(git, lively)["refs/heads/race"] == want
    assert_sound(git, lively)


def together(*work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_git_maintains_while_pushes_run(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    done = threading.Event()
    failures: list[bytes] = []

    def maintain() -> None:
        while not done.is_set():
            # one that meets a lock of ours gives up; whoever reads must always be able to
            client.git.run("pack-refs", "--all", cwd=lively, check=False)
            listed = client.git.run("for-each-ref", cwd=lively, check=False)
            if listed.returncode:
                failures.append(listed.stderr)

    beside = threading.Thread(target=maintain)
    beside.start()
    try:
        for n in range(15):
            client.push(clone, f"main:refs/heads/beside/{n}", *([f":beside/{n - 1}"] if n else []))
    finally:
        done.set()
        beside.join()
    assert not failures
    assert [name for name in refs(client.git, lively) if "beside" in name] == [
        "refs/heads/beside/14"
    ]
    assert_sound(client.git, lively)


def table_bytes(repository: Path) -> list[bytes]:
    """The tables, the newest last."""
    names = (repository / "reftable/tables.list").read_text().split()
    return [(repository / "reftable" / name).read_bytes() for name in names]


def test_written_as_configured(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    for key, value in (("blockSize", "1000"), ("restartInterval", "3"), ("geometricFactor", "1")):
        client.git.run("config", f"reftable.{key}", value, cwd=lively)
    commits = client.git.lines("rev-list", "main", cwd=clone)
    lines = [f"create refs/many/{n % 7}/{n} {commits[n % 9]}\n" for n in range(MANY)]
    client.git.run("update-ref", "--stdin", cwd=clone, stdin="".join(lines).encode())
    client.push(clone, "refs/many/*:refs/many/*")
    table = table_bytes(lively)[-1]
    assert int.from_bytes(table[5:8]) == 1000
    end = int.from_bytes(table[25:28])  # of the first block, which has the header in it
    assert int.from_bytes(table[end - 2 : end]) > 4  # restarts
    assert refs(client.git, lively, "refs/many") == refs(client.git, clone, "refs/many")
    assert_sound(client.git, lively)
    # two of the same size are a sequence now
    for n in range(2):
        client.push(clone, f"main:refs/heads/one{n}")
    assert len(table_bytes(lively)) > 2
    client.git.run("config", "reftable.blockSize", "16777216", cwd=lively)
    assert client.push(clone, "main:refs/heads/large", check=False).returncode != 0
    client.git.run("config", "reftable.blockSize", "0", cwd=lively)
    client.push(clone, "main:refs/heads/large")
    assert int.from_bytes(table_bytes(lively)[-1][5:8]) == 4096


def test_a_lock_is_waited_for_as_configured(
    client: Client,
    lively: Path,
    clone: Path,  # noqa: F811
) -> None:
    lock = lively / "reftable/tables.list.lock"
    lock.touch()
    client.git.run("config", "reftable.lockTimeout", "0", cwd=lively)
    assert client.push(clone, "main:refs/heads/new", check=False).returncode == 1
    client.git.run("config", "reftable.lockTimeout", "-1", cwd=lively)
    gone = threading.Timer(1.5, lock.unlink)  # longer than is waited for otherwise
    gone.start()
    client.push(clone, "main:refs/heads/new")
    gone.join()
    assert "refs/heads/new" in refs(client.git, lively)


def test_programs_write_what_is_behind_a_tag_too(lively: Path, newest_git: Git) -> None:
    commit = newest_git.text("rev-parse", "main", cwd=lively)
    made = f"object {commit}\ntype commit\ntag v9\ntagger A <a@b> 1 +0000\n\nx\n"
    tag = newest_git.run("mktag", cwd=lively, stdin=made.encode()).stdout.decode().strip()
    Repo(str(lively)).refs[b"refs/tags/v9"] = tag.encode()
    assert any(bytes.fromhex(tag + commit) in table for table in table_bytes(lively))
    assert newest_git.text("rev-parse", "v9^{commit}", cwd=lively) == commit
