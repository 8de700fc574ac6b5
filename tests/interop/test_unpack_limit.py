"""``receive.unpackLimit``: small pushes leave loose objects where the repository asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.test_hooks import add_hook, client, clone
from tests.support.client import Client
from tests.support.gits import Git, assert_sound

__all__ = ["client", "clone"]

PUSHED = ("", "^", ":", ":new")
"""An empty commit is below the one that is made here: four objects."""


def commit(client: Client, clone: Path, name: str, content: bytes) -> None:
    (clone / name).write_bytes(content)
    client.git.run("add", name, cwd=clone)
    client.git.run("commit", "-qm", name, cwd=clone)


def loose(repository: Path) -> set[str]:
    objects = repository / "objects"
    return {path.parent.name + path.name for path in objects.glob("[0-9a-f][0-9a-f]/*")}


def packs(repository: Path) -> set[str]:
    return {path.name for path in (repository / "objects/pack").iterdir()}


def configure(git: Git, repository: Path, **limits: int) -> None:
    for section, limit in limits.items():
        git.run("config", f"{section}.unpackLimit", str(limit), cwd=repository)


@pytest.fixture
def before(lively: Path) -> set[str]:
    return packs(lively)


@pytest.mark.parametrize(
    ("receive", "transfer", "loosened"),
    [(5, None, True), (4, None, False), (-1, 5, True), (4, 100, False), (100, 1, True),
     (None, 5, True), (None, 4, False), (None, 0, False)],
)  # fmt: skip
def test_which_limit_counts(
    client: Client, lively: Path, clone: Path, before: set[str],
    receive: int | None, transfer: int | None, loosened: bool,
) -> None:  # fmt: skip
    limits = {"receive": receive, "transfer": transfer}
    configure(client.git, lively, **{key: n for key, n in limits.items() if n is not None})
    commit(client, clone, "new", b"new\n")
    client.push(clone, "HEAD:refs/heads/new")
    assert (packs(lively) == before) is loosened
    pushed = {client.git.text("rev-parse", f"HEAD{what}", cwd=clone) for what in PUSHED}
    assert loose(lively) == (pushed if loosened else set())
    assert_sound(client.git, lively)


def test_a_thin_pack(client: Client, lively: Path, clone: Path, before: set[str]) -> None:
    configure(client.git, lively, receive=100)
    commit(client, clone, "large", b"".join(b"%d\n" % n for n in range(50_000)))
    client.push(clone, "HEAD:refs/heads/new")
    there = {name: (lively / "objects" / name[:2] / name[2:]).stat() for name in loose(lively)}
    commit(client, clone, "large", (clone / "large").read_bytes() + b"more\n")
    client.push(clone, "HEAD:refs/heads/new")
    assert packs(lively) == before
    assert len(loose(lively)) == len(there) + 3
    for name, stat in there.items():
        assert (lively / "objects" / name[:2] / name[2:]).stat().st_ino == stat.st_ino
    assert all(stat.st_mode & 0o777 == 0o444 for stat in there.values())
    assert_sound(client.git, lively)
    large = client.git.run("cat-file", "blob", "new:large", cwd=lively).stdout
    assert large == (clone / "large").read_bytes()


def test_checks_and_hooks_come_first(
    client: Client, lively: Path, clone: Path, before: set[str]
) -> None:
    configure(client.git, lively, receive=100)
    client.git.run("config", "transfer.fsckObjects", "true", cwd=lively)
    seen = lively / "seen"
    add_hook(
        lively, "pre-receive",
        f"#!/bin/sh\nwhile read old new ref; do git cat-file -p $new:new >{seen}; done\n"
        f"test ! -f {lively}/refuse\n",
    )  # fmt: skip
    (lively / "refuse").touch()
    commit(client, clone, "new", b"new\n")
    assert client.push(clone, "HEAD:refs/heads/new", check=False).returncode != 0
    assert seen.read_bytes() == b"new\n"
    assert (loose(lively), packs(lively)) == (set(), before)
    (lively / "refuse").unlink()
    client.push(clone, "HEAD:refs/heads/new")
    assert len(loose(lively)) == 4
    tree = b"100644 .git\0" + bytes(20)
    arguments = ("hash-object", "-w", "--literally", "-t", "tree", "--stdin")
    bad = client.git.run(*arguments, cwd=clone, stdin=tree).stdout.decode().strip()
    bad = client.git.text("commit-tree", "-m", "bad", bad, cwd=clone)
    assert client.push(clone, f"{bad}:refs/heads/bad", check=False).returncode != 0
    assert len(loose(lively)) == 4


def test_in_sha256(
    client: Client, form: Callable[[str], Path], served: Path, tmp_path: Path
) -> None:
    repository = served / "empty.git"
    client.git.run("init", "-q", "--bare", "--object-format=sha256", repository)
    configure(client.git, repository, transfer=100_000)
    copy = tmp_path / "copy"
    client.git.run("clone", "-q", "--mirror", form("sha256"), copy)
    client.connect(copy, repository, "there")
    client.run("push", "-q", "there", "+refs/heads/*:refs/heads/*", cwd=copy)
    assert len(loose(repository)) > 20
    assert_sound(client.git, repository)
