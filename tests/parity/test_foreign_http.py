"""Other people's repositories over HTTP, where every request stands alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gitserve.repo import Repo
from gitserve.server import DictBackend
from gitserve.web import make_wsgi_chain

from tests.parity.test_asking import New, Old
from tests.support.foreign import FOREIGN
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.repositories import feed_history

VERSIONS = pytest.mark.parametrize("version", [0, 1, 2])


@pytest.fixture
def serve_repo(serve_http: Callable[[Any], str]) -> Callable[[Any], str]:
    """Serves one repository until the test ends; its URL."""
    return lambda repo: serve_http(make_wsgi_chain(DictBackend({"/": repo}))) + "/"


@VERSIONS
@pytest.mark.parametrize("kind", sorted(FOREIGN))
def test_clone_fetch_and_push(
    kind: str, version: int, project: Repo, serve_repo: Callable[[Any], str], newest_git: Git,
    tmp_path: Path,
) -> None:  # fmt: skip
    git, clone, work = newest_git, tmp_path / "clone", tmp_path / "work"
    repo = FOREIGN[kind](git, Path(project.path))
    url, options = serve_repo(repo), ["-c", f"protocol.version={version}"]
    git.run(*options, "clone", "--quiet", "--mirror", url, clone)
    assert_sound(git, clone)
    assert refs(git, clone) == refs(git, Path(project.path))
    git.run(*options, "clone", "--quiet", "--depth=3", url, work)
    (work / "new").write_text("new\n")
    git.run("add", "new", cwd=work)
    git.run("commit", "--quiet", "-m", "new", cwd=work)
    git.run(*options, "push", "--quiet", "origin", "HEAD:main", cwd=work)
    head = git.text("rev-parse", "HEAD", cwd=work)
    assert repo.get_refs()[b"refs/heads/main"] == head.encode()
    git.run(*options, "fetch", "--quiet", cwd=clone)
    assert refs(git, clone)["refs/heads/main"] == head
    assert_sound(git, clone)
    git.run(*options, "fetch", "--quiet", "--unshallow", cwd=work)
    assert_sound(git, work)


@VERSIONS
@pytest.mark.parametrize("kind", [New, Old])
def test_those_that_choose(
    kind: Any, version: int, project: Repo, serve_repo: Callable[[Any], str], newest_git: Git,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Also when the client has much of its own to tell, in several requests."""
    git, clone, original = newest_git, tmp_path / "clone", Path(project.path)
    url, options = serve_repo(kind(project)), ["-c", f"protocol.version={version}"]
    git.run(*options, "clone", "--quiet", "--bare", "--single-branch", url, clone)
    assert object_ids(git, clone, "main") == object_ids(git, original, "main")
    mine = HistoryShape(commits=100, files=3, lines=5, tag_every=0)
    feed_history(git, clone, 30, mine, "refs/heads/main")
    feed_history(
        git, original, 31, HistoryShape(commits=3, files=2, tag_every=0), "refs/heads/main"
    )
    git.run(*options, "fetch", "--quiet", url, "main:refs/heads/theirs", cwd=clone)
    assert_sound(git, clone)
    assert object_ids(git, clone, "theirs") == object_ids(git, original, "main")
