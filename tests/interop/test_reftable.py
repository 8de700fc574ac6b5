"""Repositories that keep their refs in tables (``extensions.refStorage=reftable``).

Real git made them and judges what became of them; the clients are all the gits there are, also
those that could not open such a repository themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.support.client import Client, RoadName
from tests.support.gits import Git, refs
from tests.support.history import HistoryShape
from tests.support.repositories import feed_history, new_bare

pytestmark = pytest.mark.ours

SHAPE = HistoryShape(commits=20, files=4, lines=8, tag_every=5)
MANY = 20_000


def tables(git: Git, path: Path, object_format: str = "sha1") -> Path:
    """A history with tags in a repository of this form; some of it in tables of its own."""
    new_bare(git, path, "--ref-format=reftable", f"--object-format={object_format}")
    feed_history(git, path, 7, SHAPE)
    git.run("symbolic-ref", "refs/heads/alias", "refs/heads/main", cwd=path)
    git.run("update-ref", "-d", "refs/heads/side", cwd=path, check=False)
    return path


@pytest.fixture(params=[0, 2], ids=lambda version: f"v{version}")
def protocol(request: pytest.FixtureRequest) -> int:
    """Version 1 adds nothing here."""
    return cast(int, request.param)


@pytest.fixture
def road() -> RoadName:
    """Refs are the same on every road."""
    return "daemon"


@pytest.fixture
def repository(served: Path, newest_git: Git) -> Path:
    return tables(newest_git, served / "tables.git")


def listed(git: Git, repository: Path) -> list[str]:
    """What git itself tells of it."""
    return git.lines("ls-remote", str(repository))


def test_clients_see_what_git_shows(client: Client, newest_git: Git, repository: Path) -> None:
    assert client.ls_remote(repository) == listed(newest_git, repository)
    newest_git.run("update-ref", "refs/heads/new", "main~1", cwd=repository)
    newest_git.run("update-ref", "-d", "refs/heads/alias", "--no-deref", cwd=repository)
    newest_git.run("symbolic-ref", "HEAD", "refs/heads/new", cwd=repository)
    assert client.ls_remote(repository) == listed(newest_git, repository)


def test_clone_and_fetch(client: Client, newest_git: Git, repository: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    client.clone(repository, clone)
    assert client.git.text("rev-parse", "HEAD", cwd=clone) == newest_git.text(
        "rev-parse", "main", cwd=repository
    )
    feed_history(newest_git, repository, 8, SHAPE, onto="main")
    client.fetch(clone, "--tags", "--prune")
    there = refs(newest_git, repository, "refs/heads")
    here = refs(client.git, clone, "refs/remotes/origin")
    here.pop("refs/remotes/origin/HEAD", None)
    assert {name.removeprefix("refs/remotes/origin/"): i for name, i in here.items()} == {
        name.removeprefix("refs/heads/"): i for name, i in there.items()
    }
    assert refs(client.git, clone, "refs/tags") == refs(newest_git, repository, "refs/tags")


def test_sha256(client: Client, newest_git: Git, served: Path, tmp_path: Path) -> None:
    repository = tables(newest_git, served / "wide.git", "sha256")
    assert client.ls_remote(repository) == listed(newest_git, repository)
    client.clone(repository, tmp_path / "clone")
    assert client.git.text("rev-parse", "HEAD", cwd=tmp_path / "clone") == newest_git.text(
        "rev-parse", "main", cwd=repository
    )


def test_many_refs_and_prefixes(client: Client, newest_git: Git, repository: Path) -> None:
    commits = newest_git.lines("rev-list", "main", cwd=repository)
    lines = (
        f"create refs/changes/{n % 100:02}/{n} {commits[n % len(commits)]}\n" for n in range(MANY)
    )
    newest_git.run("update-ref", "--stdin", cwd=repository, stdin="".join(lines).encode())
    newest_git.run("update-ref", "-d", "refs/changes/00/100", cwd=repository)
    everything = client.ls_remote(repository)
    assert len(everything) > MANY
    assert everything == listed(newest_git, repository)
    assert client.ls_remote(repository, "refs/heads/*") == newest_git.lines(
        "ls-remote", str(repository), "refs/heads/*"
    )


def test_hidden_refs_stay_hidden(client: Client, newest_git: Git, repository: Path) -> None:
    before = client.ls_remote(repository)
    newest_git.run("update-ref", "refs/secret/x", "main", cwd=repository)
    assert len(client.ls_remote(repository)) == len(before) + 1
    newest_git.run("config", "transfer.hideRefs", "refs/secret", cwd=repository)
    # not compared with git's listing: 2.47 loses refs behind hidden ones in tables
    assert client.ls_remote(repository) == before


def test_a_damaged_table_is_an_error_not_an_empty_repository(
    client: Client, repository: Path
) -> None:
    for table in (repository / "reftable").glob("*.ref"):
        table.write_bytes(table.read_bytes()[:-3])
    done = client.run("ls-remote", client.url(repository), check=False)
    assert done.returncode != 0
    assert not done.stdout
