"""``filter.<driver>.process`` in archives: git judges what it is told, and what comes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.test_archive import remote
from tests.support import filter_process
from tests.support.gits import Git
from tests.support.server import Programs

pytestmark = pytest.mark.ours


@pytest.fixture
def filtered(newest_git: Git, served: Path) -> Path:
    repository, work = served / "filtered.git", served / "filtered"
    newest_git.run("init", "-q", "--bare", "-b", "main", repository)
    newest_git.run("clone", "-q", repository, work)
    for name in ("a.x", "b.x", "sub/c.x", "plain"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(f"text of {name}\n")
    (work / "empty.x").write_text("")
    (work / "large.x").write_bytes(b"abcdefg\n" * 20_000)
    (work / "link.x").symlink_to("a.x")
    (work / ".gitattributes").write_text("*.x filter=up\n")
    newest_git.run("add", ".", cwd=work)
    newest_git.run("commit", "-q", "-m", "all", cwd=work)
    newest_git.run("tag", "-a", "-m", "one", "v1", cwd=work)
    newest_git.run("push", "-q", "origin", "HEAD:main", "v1", cwd=work)
    newest_git.run("config", "uploadarchive.allowUnreachable", "true", cwd=repository)
    return repository


def driver(git: Git, repository: Path, manner: str, *, required: bool = False) -> Path:
    """Configures it; where it writes to."""
    log = repository / "log"
    command = f"{sys.executable} {filter_process.__file__} {manner} {log}"
    git.run("config", "filter.up.process", command, cwd=repository)
    git.run("config", "filter.up.required", str(required).lower(), cwd=repository)
    log.unlink(missing_ok=True)
    return log


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    "manner",
    ["well", "twice", "unable", "error", "late", "abort", "dies", "nonsense", "large", "newer"],
)
def test_as_git(
    newest_git: Git, programs: Programs, filtered: Path, manner: str, required: bool
) -> None:
    git = newest_git
    log = driver(git, filtered, manner, required=required)
    git.run("config", "filter.up.smudge", "tr a-z 0-9", cwd=filtered)  # the other one counts
    judged = git.run("archive", "main", cwd=filtered, check=False)
    told = log.read_text()
    log.unlink()
    ours, said = remote(programs, git, filtered, "main")
    if judged.returncode:
        assert not ours
        last = judged.stderr.splitlines()[-1]
        assert b"remote: " + last in [line.rstrip() for line in said.splitlines()]
    else:
        assert ours == judged.stdout, said
    # git goes on in another order
    assert sorted(log.read_text().splitlines()) == sorted(told.splitlines())


@pytest.mark.parametrize("tree", ["main", "HEAD", "v1", "main:", "refs/heads/main"])
def test_where_a_file_is_from(
    newest_git: Git, programs: Programs, filtered: Path, tree: str
) -> None:
    log = driver(newest_git, filtered, "well")
    judged = newest_git.run("archive", tree, cwd=filtered).stdout
    told = log.read_text()
    log.unlink()
    ours, said = remote(programs, newest_git, filtered, tree, "--mtime=0")
    assert bool(ours) == bool(judged), said
    assert log.read_text() == told


def test_who_ends_at_once(newest_git: Git, programs: Programs, filtered: Path) -> None:
    """git ends there, too, required or not."""
    driver(newest_git, filtered, "never")
    assert newest_git.run("archive", "main", cwd=filtered, check=False).returncode
    ours, said = remote(programs, newest_git, filtered, "main")
    assert not ours
    assert b"remote: fatal: external filter" in said
