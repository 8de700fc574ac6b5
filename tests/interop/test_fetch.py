"""Fetches into a clone that has something already: what is new arrives, and only that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.test_clone import shallow_commits
from tests.support.client import Client
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.repositories import feed_history

Form = Callable[[str], Path]

MORE = HistoryShape(commits=12, files=3, lines=20, tag_every=6)


def stored_count(git: Git, repository: Path) -> int:
    """Objects in the clone, reachable or not, each counted once."""
    return len(git.lines("cat-file", "--batch-all-objects", "--batch-check", cwd=repository))


def assert_same_branches(client: Client, repository: Path, clone: Path) -> None:
    assert_sound(client.git, clone)
    theirs = refs(client.git, repository, "refs/heads")
    ours = refs(client.git, clone, "refs/remotes/origin")
    ours.pop("refs/remotes/origin/HEAD", None)
    assert {name.removeprefix("refs/remotes/origin/"): value for name, value in ours.items()} == {
        name.removeprefix("refs/heads/"): value for name, value in theirs.items()
    }
    assert refs(client.git, clone, "refs/tags") == refs(client.git, repository, "refs/tags")
    assert object_ids(client.git, clone) == object_ids(
        client.git, repository, "--branches", "--tags"
    )


def test_new_commits(client: Client, lively: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    client.clone(lively, clone)
    before = stored_count(client.git, clone)
    feed_history(client.git, lively, 100, MORE, "refs/heads/main")
    client.fetch(clone)
    assert_same_branches(client, lively, clone)
    new = len(object_ids(client.git, lively)) - before
    assert stored_count(client.git, clone) == before + new


def test_nothing_new(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("lively"), tmp_path / "clone"
    client.clone(repository, clone)
    before = stored_count(client.git, clone)
    client.fetch(clone)
    client.fetch(clone, "--refetch" if client.git.version >= "2.36" else "--tags")
    assert stored_count(client.git, clone) == before
    assert_same_branches(client, repository, clone)


def test_many_rounds_of_negotiation(client: Client, lively: Path, tmp_path: Path) -> None:
    """The client has hundreds of commits that the server has never seen, and so have we."""
    clone = tmp_path / "clone"
    client.clone(lively, clone)
    theirs = HistoryShape(commits=300, files=3, lines=5, tag_every=0, merge_every=301)
    onto = client.git.text("rev-parse", "origin/main", cwd=clone)
    feed_history(client.git, clone, 101, theirs, onto)
    feed_history(client.git, lively, 102, MORE, "refs/heads/main")
    client.fetch(clone)
    tips = ("--remotes=origin", "--tags")
    assert_sound(client.git, clone)
    assert object_ids(client.git, clone, *tips) == object_ids(client.git, lively)


def test_unrelated_history(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("lively"), tmp_path / "mine"
    shutil.copytree(form("non_bare"), clone)
    client.connect(clone, repository)
    client.fetch(clone)
    assert_sound(client.git, clone)
    want = object_ids(client.git, repository, "--branches", "--tags")
    assert set(want) <= set(object_ids(client.git, clone))


def test_only_a_tag(client: Client, lively: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    client.clone(lively, clone)
    client.git.run("tag", "-a", "-m", "late", "late", "main~4", cwd=lively)
    client.fetch(clone, "--tags")
    assert "refs/tags/late" in refs(client.git, clone)
    assert_same_branches(client, lively, clone)


def test_one_ref_into_an_empty_repository(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("lively"), tmp_path / "mine.git"
    client.git.run("init", "-q", "--bare", clone)
    client.connect(clone, repository)
    tag = min(refs(client.git, repository, "refs/tags"))
    client.fetch(clone, "--no-tags", "origin", f"{tag}:{tag}")
    assert_sound(client.git, clone)
    assert object_ids(client.git, clone) == object_ids(client.git, repository, tag)


def test_rewritten_branch(client: Client, lively: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    client.clone(lively, clone)
    client.git.run("update-ref", "refs/heads/main", "main~9", cwd=lively)
    feed_history(client.git, lively, 103, MORE, "refs/heads/main")
    client.fetch(clone)
    assert_sound(client.git, clone)
    want = object_ids(client.git, lively, "main")
    assert object_ids(client.git, clone, "refs/remotes/origin/main") == want


def test_deleted_branches_are_pruned(client: Client, lively: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    client.clone(lively, clone)
    client.git.run("update-ref", "-d", "refs/heads/topic", cwd=lively)
    client.fetch(clone, "--prune")
    assert "refs/remotes/origin/topic" not in refs(client.git, clone)


def test_thousands_of_refs(client: Client, form: Form, served: Path, tmp_path: Path) -> None:
    repository, clone = served / "many.git", tmp_path / "clone.git"
    shutil.copytree(form("many_refs"), repository)
    client.clone(repository, clone, "--mirror")
    feed_history(client.git, repository, 104, MORE, "refs/heads/main")
    client.fetch(clone)
    assert_sound(client.git, clone)
    assert refs(client.git, clone) == refs(client.git, repository)
    assert object_ids(client.git, clone) == object_ids(client.git, repository)


class TestShallow:
    """A boundary that moves; the judge is a clone that real git's own server serves."""

    @pytest.fixture
    def clones(self, client: Client, lively: Path, tmp_path: Path) -> tuple[Path, Path]:
        clone, judge = tmp_path / "clone", tmp_path / "judge"
        client.clone(lively, clone, "--depth=3", "--no-single-branch")
        url = f"file://{lively}"
        client.git.run("clone", "-q", "--depth=3", "--no-single-branch", url, judge)
        return clone, judge

    def check(self, client: Client, clones: tuple[Path, Path], *arguments: str) -> None:
        clone, judge = clones
        client.fetch(clone, *arguments)
        client.git.run("fetch", "-q", *arguments, cwd=judge)
        assert_sound(client.git, clone)
        assert shallow_commits(clone) == shallow_commits(judge)
        assert refs(client.git, clone) == refs(client.git, judge)
        assert object_ids(client.git, clone) == object_ids(client.git, judge)

    def test_new_commits(self, client: Client, lively: Path, clones: tuple[Path, Path]) -> None:
        feed_history(client.git, lively, 105, MORE, "refs/heads/main")
        self.check(client, clones)

    def test_deeper(self, client: Client, clones: tuple[Path, Path]) -> None:
        self.check(client, clones, "--depth=9")

    def test_shallower(self, client: Client, clones: tuple[Path, Path]) -> None:
        self.check(client, clones, "--depth=1")

    def test_deepen_from_the_boundary(self, client: Client, clones: tuple[Path, Path]) -> None:
        self.check(client, clones, "--deepen=4")

    def test_depth_with_new_commits(
        self, client: Client, lively: Path, clones: tuple[Path, Path]
    ) -> None:
        feed_history(client.git, lively, 106, MORE, "refs/heads/main")
        self.check(client, clones, "--depth=2")

    def test_since(self, client: Client, lively: Path, clones: tuple[Path, Path]) -> None:
        when = client.git.text("log", "-1", "--format=%ct", "main~15", cwd=lively)
        self.check(client, clones, f"--shallow-since={when}")

    def test_since_a_time_without_commits(self, client: Client, clones: tuple[Path, Path]) -> None:
        done = client.fetch(clones[0], "--shallow-since=2098-01-01", check=False)
        assert done.returncode == 128
        assert b"no commits selected for shallow requests" in done.stderr

    def test_exclude(self, client: Client, lively: Path, clones: tuple[Path, Path]) -> None:
        tag = client.git.lines("for-each-ref", "--format=%(refname)", "refs/tags", cwd=lively)[0]
        self.check(client, clones, f"--shallow-exclude={tag}")

    def test_unshallow(self, client: Client, lively: Path, clones: tuple[Path, Path]) -> None:
        self.check(client, clones, "--unshallow")
        assert_same_branches(client, lively, clones[0])
