"""An index whose pack is gone, as a power failure during a push may leave it: nobody is refused
what others hold."""

from __future__ import annotations

from pathlib import Path

from tests.interop.test_fetch import MORE
from tests.support.client import Client
from tests.support.gits import Git, assert_sound, object_ids
from tests.support.repositories import feed_history


def lose_push(git: Git, clone: Path, repository: Path) -> None:
    """Makes a commit in ``clone`` of whose pack ``repository`` has only the index left."""
    git.run("commit", "--allow-empty", "-q", "-m", "lost", cwd=clone)
    packs = repository / "objects/pack"
    before = set(packs.glob("*.idx"))
    git.run("config", "receive.unpackLimit", "1", cwd=repository)
    git.run("push", "-q", repository, "HEAD:refs/heads/lost", cwd=clone)
    git.run("update-ref", "-d", "refs/heads/lost", cwd=repository)
    (index,) = set(packs.glob("*.idx")) - before
    for suffix in (".pack", ".rev"):
        index.with_suffix(suffix).unlink(missing_ok=True)


def test_whoever_pushed_fetches_and_pushes_again(
    client: Client, lively: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    client.clone(lively, clone)
    lose_push(client.git, clone, lively)
    feed_history(client.git, lively, 100, MORE, "refs/heads/main")
    client.fetch(clone)
    assert_sound(client.git, clone)
    tips = ("--remotes=origin", "--tags")
    assert object_ids(client.git, clone, *tips) == object_ids(client.git, lively)
    client.fetch(clone, "--refetch" if client.git.version >= "2.36" else "--tags")
    client.push(clone, "HEAD:refs/heads/again")
    assert_sound(client.git, lively)
