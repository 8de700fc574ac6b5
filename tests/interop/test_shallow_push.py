"""Pushes from shallow clones into repositories that lack what the clone lacks."""

from __future__ import annotations

from pathlib import Path

from tests.interop.test_hooks import client
from tests.support.client import Client
from tests.support.gits import assert_sound, refs

__all__ = ["client"]


def shallow_clone(client: Client, lively: Path, to: Path) -> Path:
    client.clone(lively, to, "--depth=2")
    client.git.run("commit", "-q", "--allow-empty", "-m", "mine", cwd=to)
    return to


def empty_repository(client: Client, served: Path, name: str) -> Path:
    client.git.run("init", "-q", "--bare", "-b", "main", served / name)
    return served / name


def test_roots_are_taken_over_where_that_is_allowed(
    client: Client, lively: Path, served: Path, tmp_path: Path
) -> None:
    clone = shallow_clone(client, lively, tmp_path / "clone")
    target = empty_repository(client, served, "target.git")
    client.connect(clone, target, "target")

    def push() -> str:
        done = client.run("push", "target", "HEAD:refs/heads/new", cwd=clone, check=False)
        return done.stderr.decode()

    assert "(shallow update not allowed)" in push()
    assert not refs(client.git, target)
    assert not (target / "shallow").exists()

    client.git.run("config", "receive.shallowUpdate", "true", cwd=target)
    assert "[new branch]" in push()
    assert (target / "shallow").read_text() == (clone / ".git/shallow").read_text()
    assert_sound(client.git, target)
    log = client.git.text("log", "--format=%s", "new", cwd=target).splitlines()
    assert log == client.git.text("log", "--format=%s", cwd=clone).splitlines()
    # and it can be fetched from
    client.clone(target, tmp_path / "again", "-b", "new")
    assert_sound(client.git, tmp_path / "again")


def test_roots_that_are_not_needed_are_not_taken(
    client: Client, lively: Path, tmp_path: Path
) -> None:
    clone = shallow_clone(client, lively, tmp_path / "clone")
    client.git.run("config", "receive.shallowUpdate", "true", cwd=lively)
    client.push(clone, "HEAD:refs/heads/new")
    assert not (lively / "shallow").exists()
    assert_sound(client.git, lively)
