"""Limits on what a push may bring: each is said by its name, and nothing of the push stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gits import Git, assert_sound, refs
from tests.support.server import Server

pytestmark = pytest.mark.ours

LIMITS = {
    "receive.maxInputSize": ("20k", "pack size (20480)"),
    "gitserve.maxObjects": ("6", "number of objects (6)"),
    "gitserve.maxObjectSize": ("100k", "object size (102400)"),
    "gitserve.maxDeltaDepth": ("1", "delta depth (1)"),
}


@pytest.fixture
def work(newest_git: Git, lively: Path, tmp_path: Path) -> Path:
    """Its pack has all that is limited: many objects, a large one, deltas on deltas."""
    git, work = newest_git, tmp_path / "work"
    git.run("clone", "-q", f"file://{lively}", work)
    lines = [f"{number**7}\n" for number in range(10_000)]
    for number in range(4):
        lines[number * 1000] = f"change {number}\n"
        (work / "large").write_text("".join(lines))
        git.run("add", ".", cwd=work)
        git.run("commit", "-q", "-m", str(number), cwd=work)
    return work


@pytest.mark.parametrize("key", LIMITS)
def test_too_much_is_refused_by_name(
    key: str, work: Path, lively: Path, newest_git: Git, server: Server
) -> None:
    git, (value, told) = newest_git, LIMITS[key]
    before, files = refs(git, lively), sorted(lively.rglob("objects/**/*"))
    git.run("config", key, value, cwd=lively)
    push = ("push", server.url(lively), "HEAD:refs/heads/new")
    done = git.run(*push, cwd=work, check=False)
    assert done.returncode != 0
    assert f"pack exceeds the limit on {told}".encode() in done.stderr
    assert refs(git, lively) == before
    assert sorted(lively.rglob("objects/**/*")) == files
    git.run("config", key, "0", cwd=lively)
    git.run(*push, cwd=work)
    assert_sound(git, lively)


def test_within_all_of_them(work: Path, lively: Path, newest_git: Git, server: Server) -> None:
    limits = {"gitserve.maxInflation": "10", "gitserve.maxResolveSeconds": "60"}
    for key, value in {**limits, "gitserve.resolveMemory": "1k"}.items():
        newest_git.run("config", key, value, cwd=lively)
    newest_git.run("push", "-q", server.url(lively), "HEAD:refs/heads/new", cwd=work)
    assert_sound(newest_git, lively)


def test_the_check_for_missing_objects_holds_only_so_much(
    lively: Path, tmp_path: Path, newest_git: Git, server: Server
) -> None:
    """A merge of ten thousand commits: each of them has to be remembered."""
    git, work, who = newest_git, tmp_path / "merge", "A <a@b.example> 1700000000 +0000"
    git.run("clone", "-q", f"file://{lively}", work)
    commit = f"commit refs/heads/line\ncommitter {who}\ndata 1\nx\n"
    first = f"{commit}from refs/heads/main^0\n\n"
    git.run("fast-import", "--quiet", cwd=work, stdin=(first + commit * 10_000).encode())
    git.run("push", "-q", server.url(lively), "refs/heads/line", cwd=work)
    parents = git.lines("rev-list", "main..line", cwd=work)
    lines = "".join(f"parent {parent}\n" for parent in parents)
    tree = git.text("rev-parse", "HEAD^{tree}", cwd=work)
    text = f"tree {tree}\n{lines}author {who}\ncommitter {who}\n\nmany\n".encode()
    made = git.run("hash-object", "-t", "commit", "-w", "--stdin", cwd=work, stdin=text)
    push = ("push", server.url(lively), f"{made.stdout.decode().strip()}:refs/heads/new")
    before = refs(git, lively)
    git.run("config", "gitserve.checkMemory", "1m", cwd=lively)
    done = git.run(*push, cwd=work, check=False)
    assert done.returncode != 0
    assert b"check for missing objects took more than 1048576 bytes of memory" in done.stderr
    assert refs(git, lively) == before
    git.run("config", "--unset", "gitserve.checkMemory", cwd=lively)
    git.run(*push, cwd=work)
    assert_sound(git, lively)
