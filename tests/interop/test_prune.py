"""What ``gitserve maintain --full --prune=now`` removes, beside what git would."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.test_maintain import maintain, objects
from tests.support.gits import Git

pytestmark = pytest.mark.ours


def unreachable(git: Git, repository: Path) -> set[str]:
    """What git's fsck finds that nothing names, and its prune would remove."""
    found = {line.split()[-1] for line in git.lines("fsck", "--unreachable", cwd=repository)}
    loose = git.lines("prune", "--expire=now", "-n", cwd=repository)
    assert {line.split()[0] for line in loose} <= found
    return found


def prune(git: Git, repository: Path, at_least: int) -> None:
    """All of it goes, and nothing else."""
    before = objects(git, repository)
    gone = unreachable(git, repository)
    assert len(gone) >= at_least, gone
    time.sleep(1.1)
    done = maintain("--full", "--prune=now", "--quiet", repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert objects(git, repository) == before - gone
    git.run("fsck", "--strict", cwd=repository)


def work_tree(git: Git, path: Path, *options: str) -> Path:
    """A repository with some commits and what each way to name something adds to it."""
    git.run("init", "-q", *options, path)
    for number in range(4):
        (path / "folder").mkdir(exist_ok=True)
        (path / "folder" / "file").write_text(f"{number}\n")
        (path / f"file-{number}").write_text(f"{number} {number}\n")
        git.run("add", ".", cwd=path)
        git.run("commit", "-q", "-m", str(number), cwd=path)
    return path


def stage(git: Git, work: Path) -> None:
    (work / "staged").write_text("staged once\n")
    git.run("add", "staged", cwd=work)
    (work / "staged").write_text("staged\n")
    git.run("add", "staged", cwd=work)
    (work / "folder" / "new").write_text("promised\n")
    git.run("add", "-N", "folder/new", cwd=work)


def stage_trees(git: Git, work: Path) -> None:
    (work / "folder" / "file").write_text("in a tree that only the index knows\n")
    git.run("add", ".", cwd=work)
    git.run("write-tree", cwd=work)


def leave_conflicts(git: Git, work: Path) -> None:
    for name in ("one", "other", "third"):
        git.run("checkout", "-q", "-b", name, "main~1", cwd=work)
        (work / "folder" / "file").write_text(f"{name}\n")
        git.run("commit", "-q", "-a", "-m", name, cwd=work)
    git.run("merge", "-q", "other", cwd=work, check=False)
    git.run("branch", "-D", "other", cwd=work)


def resolve_conflicts(git: Git, work: Path) -> None:
    leave_conflicts(git, work)
    (work / "folder" / "file").write_text("resolved\n")
    git.run("add", "folder/file", cwd=work)


def split_index(git: Git, work: Path) -> None:
    git.run("update-index", "--split-index", cwd=work)
    stage(git, work)


def sparse_index(git: Git, work: Path) -> None:
    (work / "folder" / "file").write_text("in a folder that is one entry\n")
    git.run("commit", "-q", "-a", "-m", "x", cwd=work)
    git.run("sparse-checkout", "set", "--cone", "--sparse-index", cwd=work)
    git.run("reset", "-q", "--soft", "HEAD~1", cwd=work)
    git.run("reflog", "expire", "--expire=now", "--all", cwd=work)


def fourth_version(git: Git, work: Path) -> None:
    git.run("update-index", "--index-version=4", cwd=work)
    stage(git, work)


def linked_worktree(git: Git, work: Path) -> None:
    linked = work.parent / "linked"
    git.run("worktree", "add", "-q", "--detach", linked, "main~1", cwd=work)
    stage(git, linked)
    (linked / "file-0").write_text("only this HEAD knows it\n")
    git.run("commit", "-q", "-a", "-m", "detached", cwd=linked)
    git.run("checkout", "-q", "--detach", "main~2", cwd=linked)


def leave_a_rebase(git: Git, work: Path) -> None:
    leave_conflicts(git, work)
    git.run("merge", "--abort", cwd=work)
    git.run("rebase", "-q", "one", "main", cwd=work, check=False)


def stash(git: Git, work: Path) -> None:
    stage(git, work)
    git.run("rm", "-q", "--cached", "folder/new", cwd=work)
    git.run("stash", "-q", cwd=work)
    git.run("stash", "drop", "-q", cwd=work)
    (work / "file-0").write_text("stashed\n")
    git.run("stash", "-q", cwd=work)


WAYS: dict[str, Callable[[Git, Path], None]] = {
    way.__name__: way
    for way in (
        stage, stage_trees, leave_conflicts, resolve_conflicts, split_index, sparse_index,
        fourth_version, linked_worktree, leave_a_rebase, stash,
    )
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_work_tree_is_pruned_as_git_does(way: str, git: Git, tmp_path: Path) -> None:
    work = work_tree(git, tmp_path / "work")
    # what git does not count, and we do
    WAYS[way](git, work)
    for name in ("ORIG_HEAD", "AUTO_MERGE"):
        (work / ".git" / name).unlink(missing_ok=True)
    git.run("hash-object", "-w", "--stdin", cwd=work, stdin=b"nobody's")
    prune(git, work, at_least=1)
    git.run("status", cwd=work)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_tables_are_pruned_as_git_does(object_format: str, newest_git: Git, tmp_path: Path) -> None:
    git = newest_git
    options = ("--ref-format=reftable", f"--object-format={object_format}")
    work = work_tree(git, tmp_path / "work", *options)
    linked_worktree(git, work)
    git.run("bisect", "start", "HEAD", "HEAD~1", cwd=tmp_path / "linked")
    git.run("branch", "-q", "gone", "main", cwd=work)
    tree = git.text("rev-parse", "main^{tree}", cwd=work)
    once = git.text("commit-tree", "-m", "once", tree, cwd=work)
    for commit in (once, "main"):
        git.run("update-ref", "refs/heads/gone", commit, cwd=work)
    git.run("hash-object", "-w", "--stdin", cwd=work, stdin=b"nobody's")
    prune(git, work, at_least=1)
    assert once in objects(git, work)
    git.run("reflog", "expire", "--expire=now", "--all", cwd=work)
    prune(git, work, at_least=1)
    assert once not in objects(git, work)


def test_what_cannot_be_read_keeps_everything(git: Git, tmp_path: Path) -> None:
    work = work_tree(git, tmp_path / "work")
    lost = git.run("hash-object", "-w", "--stdin", cwd=work, stdin=b"nobody's")
    linked_worktree(git, work)
    folder = work / ".git/worktrees/linked"
    time.sleep(1.1)
    for name, content in (("index", b"DIRC\0\0\0\2\0\0\0\1"), ("HEAD", b"what is this\n")):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        done = maintain("--full", "--prune=now", "--quiet", work)
        assert f"{folder / name}: " in done.stderr
        assert "nothing is pruned as long as that is so" in done.stderr
        assert lost.stdout.decode().strip() in objects(git, work)
        (folder / name).write_bytes(whole)
    time.sleep(1.1)
    done = maintain("--full", "--prune=now", "--quiet", work)
    assert (done.returncode, done.stderr) == (0, "")
    assert lost.stdout.decode().strip() not in objects(git, work)


def test_a_damaged_pack_is_left_alone_and_the_rest_is_done(newest_git: Git, tmp_path: Path) -> None:
    git, bare = newest_git, tmp_path / "repository.git"
    work = work_tree(git, tmp_path / "work")
    git.run("clone", "-q", "--bare", work, bare)
    git.run("repack", "-adq", cwd=bare)
    spare = tmp_path / "spare"
    shutil.copytree(bare / "objects/pack", spare)
    (pack,) = (bare / "objects/pack").glob("*.pack")
    commit = git.text("rev-parse", "main~1", cwd=bare)
    shown = git.run("show-index", cwd=bare, stdin=pack.with_suffix(".idx").read_bytes())
    lines = [line.split() for line in shown.stdout.decode().splitlines()]
    offset = next(int(line[0]) for line in lines if line[1] == commit)
    content = bytearray(pack.read_bytes())
    content[offset + 10] ^= 0x55
    pack.chmod(0o644)
    pack.write_bytes(content)
    for number in range(3):
        git.run("hash-object", "-w", "--stdin", cwd=bare, stdin=b"nobody's %d" % number)
    before = objects(git, bare)
    time.sleep(1.1)
    for options in ((), ("--full", "--prune=now")):
        done = maintain(*options, "--quiet", bare)
        where = f"{pack}: at offset {offset}: object {commit} has a wrong checksum"
        assert f"{where}; pack left where it is" in done.stderr or not options
        assert done.returncode == 0, done.stderr
        assert objects(git, bare) == before
        assert not list((bare / "objects").glob("??/*")), "all loose objects are packed"
        assert pack.read_bytes() == content
    assert "and nothing is pruned" in done.stderr
    # mended: what was done beside it is sound, and the next run has all
    pack.write_bytes((spare / pack.name).read_bytes())
    prune(git, bare, at_least=3)


def test_a_hook_that_names_objects_keeps_everything(git: Git, tmp_path: Path) -> None:
    """Who has ``gc.recentObjectsHook`` counts on being asked."""
    work = work_tree(git, tmp_path / "work")
    git.run("hash-object", "-w", "--stdin", cwd=work, stdin=b"nobody's")
    before = objects(git, work)
    git.run("config", "gc.recentObjectsHook", "echo", cwd=work)
    time.sleep(1.1)
    done = maintain("--full", "--prune=now", "--quiet", work)
    assert done.returncode == 0
    assert "gc.recentObjectsHook" in done.stderr
    assert objects(git, work) == before
