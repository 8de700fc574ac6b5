"""A server that is a partial clone itself: what it lacks is refused, left out, or fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import gitserve_programs

pytestmark = pytest.mark.ours

UPLOAD = gitserve_programs().upload_pack


@pytest.fixture
def server(tmp_path: Path, newest_git: Git) -> Path:
    """Cloned without the blobs of a repository that has them."""
    whole = tmp_path / "whole"
    newest_git.run("init", "-q", "-b", "main", str(whole), cwd=tmp_path)
    (whole / "large").write_text("large" * 1000)
    newest_git.run("add", "large", cwd=whole)
    newest_git.run("commit", "-qm", "x", cwd=whole)
    newest_git.run("config", "uploadpack.allowFilter", "true", cwd=whole)
    newest_git.run("config", "uploadpack.allowAnySHA1InWant", "true", cwd=whole)
    newest_git.run(
        "clone", "-q", "--bare", "--filter=blob:none", f"file://{whole}", "server", cwd=tmp_path
    )
    newest_git.run("config", "uploadpack.allowFilter", "true", cwd=tmp_path / "server")
    return tmp_path / "server"


def missing(git: Git, server: Path) -> int:
    listed = git.lines("rev-list", "--objects", "--all", "--missing=print", cwd=server)
    return sum(line.startswith("?") for line in listed)


def test_refused_unless_it_may_fetch(newest_git: Git, server: Path, tmp_path: Path) -> None:
    words = ("clone", "-q", "--no-local", "--bare")
    refused = newest_git.run(*words, "-u", UPLOAD, str(server), "a", cwd=tmp_path, check=False)
    assert refused.returncode != 0
    assert b"lazy fetching disabled" in refused.stderr
    assert missing(newest_git, server) == 1
    newest_git.run(*words, "-u", f"GIT_NO_LAZY_FETCH=0 {UPLOAD}", str(server), "b", cwd=tmp_path)
    assert missing(newest_git, server) == 0
    newest_git.run("fsck", "--full", cwd=tmp_path / "b")


def test_a_filter_needs_nothing_that_is_missing(
    newest_git: Git, server: Path, tmp_path: Path
) -> None:
    newest_git.run(
        "clone", "-q", "--bare", "--filter=blob:none", "-u", UPLOAD, f"file://{server}", "c",
        cwd=tmp_path,
    )  # fmt: skip
    assert missing(newest_git, server) == 1
