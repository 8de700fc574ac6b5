"""``git archive --remote`` gets from gitserve the bytes that ``git archive`` makes in place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import Programs, Server

ARGUMENTS = [
    ["main"],
    ["--format=tar", "--prefix=p-1.0/", "main"],
    ["--format=tar.gz", "main"],
    ["--format=tgz", "-9", "main"],
    ["--format=zip", "main"],
    ["--format=zip", "-0", "main"],
    ["--format=zip", "-9", "--prefix=odd", "main"],
    ["main", "docs", "run"],
    ["v1"],
    ["--format=zip", "v1"],
]


@pytest.fixture
def tree(newest_git: Git, served: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of everything that archives treat apart."""
    monkeypatch.setenv("TZ", "UTC")
    repository, work = served / "tree.git", served / "work"
    newest_git.run("init", "-q", "--bare", "-b", "main", repository)
    newest_git.run("clone", "-q", repository, work)
    files = {
        "plain": b"text\n" * 200,
        "empty": b"",
        "binary": bytes(range(256)) * 40,
        "random": os.urandom(3000),
        "docs/a.txt": b"a\n",
        "docs/deep/b.txt": b"b\n",
        "docs/tests/left out": b"x\n",
        "tests/also": b"x\n",
        "only/ignored.o": b"x\n",
        ".gitattributes": b"*.o export-ignore\n/tests export-ignore\ndocs/tests export-ignore\n",
        "docs/.gitattributes": b"deep/keep.o -export-ignore\n.gitattributes export-ignore\n",
        "docs/deep/keep.o": b"kept\n",
        "ä/ö": b"utf-8\n",
        "/".join(["long" * 10] * 4) + "/name": b"long\n",
        "x" * 120: b"long name\n",
    }
    for name, content in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (work / "run").write_text("#!/bin/sh\n")
    (work / "run").chmod(0o755)
    (work / "link").symlink_to("docs/a.txt")
    (work / "long link").symlink_to("y" * 150)
    newest_git.run("add", ".", cwd=work)
    link = newest_git.text("hash-object", "-t", "tree", "/dev/null", cwd=work)
    newest_git.run("update-index", "--add", "--cacheinfo", f"160000,{link},sub", cwd=work)
    newest_git.run("commit", "-q", "-m", "all", cwd=work)
    newest_git.run("tag", "-a", "-m", "one", "v1", cwd=work)
    newest_git.run("push", "-q", "origin", "main", "v1", cwd=work)
    newest_git.run("config", "daemon.uploadarchive", "true", cwd=repository)
    return repository


def remote(programs: Programs, git: Git, repository: Path, *arguments: str) -> tuple[bytes, bytes]:
    command = programs.upload_pack.replace("upload-pack", "upload-archive")
    done = git.run(
        "archive", f"--remote={repository}", f"--exec={command}", *arguments, check=False
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_the_same_bytes(git: Git, programs: Programs, tree: Path, arguments: list[str]) -> None:
    ours, said = remote(programs, git, tree, *arguments)
    assert ours == git.run("archive", *arguments, cwd=tree).stdout, said


def test_over_the_daemon(newest_git: Git, server: Server, tree: Path) -> None:
    ours = newest_git.run("archive", f"--remote={server.url(tree)}", "main").stdout
    assert ours == newest_git.run("archive", "main", cwd=tree).stdout
    newest_git.run("config", "daemon.uploadarchive", "false", cwd=tree)
    done = newest_git.run("archive", f"--remote={server.url(tree)}", "main", check=False)
    assert done.returncode != 0


def test_configured(newest_git: Git, programs: Programs, tree: Path) -> None:
    newest_git.run("config", "tar.umask", "077", cwd=tree)
    newest_git.run("config", "tar.upper.command", "tr a-z A-Z", cwd=tree)
    ours, said = remote(programs, newest_git, tree, "main")
    assert ours == newest_git.run("archive", "main", cwd=tree).stdout, said
    assert (
        b"Unknown archive format" in remote(programs, newest_git, tree, "--format=upper", "main")[1]
    )
    newest_git.run("config", "tar.upper.remote", "true", cwd=tree)
    assert b"upper" in remote(programs, newest_git, tree, "--list")[0].splitlines()
    ours, said = remote(programs, newest_git, tree, "--format=upper", "main")
    assert ours == newest_git.run("archive", "--format=upper", "main", cwd=tree).stdout, said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], b"no such ref: nowhere"),
        (["main:plain"], b"not a tree object"),
        (["main", "nowhere"], b"did not match any files"),
        (["--add-file=/etc/passwd", "main"], b"add-file"),
    ],
)
def test_refusals(
    newest_git: Git, programs: Programs, tree: Path, arguments: list[str], said: bytes
) -> None:
    assert said in remote(programs, newest_git, tree, *arguments)[1]


def test_an_id_only_where_that_is_allowed(newest_git: Git, programs: Programs, tree: Path) -> None:
    commit = newest_git.text("rev-parse", "main", cwd=tree)
    assert b"no such ref" in remote(programs, newest_git, tree, commit)[1]
    newest_git.run("config", "uploadarchive.allowUnreachable", "true", cwd=tree)
    ours, said = remote(programs, newest_git, tree, commit)
    assert ours == newest_git.run("archive", commit, cwd=tree).stdout, said
