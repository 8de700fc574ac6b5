"""Partial clones: what a filter leaves out stays away, and comes when it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.gits import object_ids

FILTERS = ["blob:none", "tree:0", "object:type=commit", "combine:blob:limit=1k+tree:3"]


def stored(client: Client, clone: Path) -> set[str]:
    listed = client.git.lines("cat-file", "--batch-all-objects", "--batch-check", cwd=clone)
    return {line.split(" ", 1)[0] for line in listed}


@pytest.mark.parametrize("spec", FILTERS)
def test_what_is_left_out_comes_later(
    client: Client, lively: Path, tmp_path: Path, spec: str
) -> None:
    git, clone, judged = client.git, tmp_path / "clone", tmp_path / "judged"
    git.run("config", "uploadpack.allowFilter", "true", cwd=lively)
    # v0 gives nothing that is not advertised unless it is said
    git.run("config", "uploadpack.allowAnySHA1InWant", "true", cwd=lively)
    tip = git.text("rev-parse", "refs/heads/main", cwd=lively)
    words = ("--bare", "--single-branch", "--branch=main", f"--filter={spec}")
    client.clone(lively, clone, *words)
    client.run("clone", "--quiet", *words, f"file://{lively}", judged)
    kept = stored(client, judged)
    assert stored(client, clone) == kept
    everything = set(object_ids(git, lively, tip, "--tags"))
    # a checkout asks for what it needs, and for no more than the branch has
    client.run("archive", "--output", tmp_path / "tree.tar", "main", cwd=clone)
    whole = git.run("archive", "main", cwd=lively).stdout
    assert (tmp_path / "tree.tar").read_bytes() == whole
    assert kept <= stored(client, clone) <= everything
    client.fetch(clone, "--refetch", "--no-filter", "origin", "main")
    assert set(object_ids(git, lively, tip)) <= stored(client, clone) <= everything


def test_where_filters_are_not_offered(client: Client, lively: Path, tmp_path: Path) -> None:
    """The client is told by the advertisement, and takes everything."""
    done = client.clone(lively, tmp_path / "clone", "--bare", "--filter=blob:none")
    assert b"filtering not recognized by server, ignoring" in done.stderr
    assert stored(client, tmp_path / "clone") == set(object_ids(client.git, lively))
