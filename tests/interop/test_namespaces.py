"""``GIT_NAMESPACE``: one repository that looks like several, to clients and to hooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import gitserve_programs

pytestmark = pytest.mark.ours

UPLOAD, RECEIVE = gitserve_programs().upload_pack, gitserve_programs().receive_pack


@pytest.fixture
def server(tmp_path: Path, newest_git: Git) -> Path:
    """A bare repository with one branch outside of all namespaces."""
    newest_git.run("init", "-q", "--bare", "-b", "main", str(tmp_path / "server"), cwd=tmp_path)
    return tmp_path / "server"


@pytest.fixture
def work(tmp_path: Path, newest_git: Git) -> Path:
    path = tmp_path / "work"
    newest_git.run("init", "-q", "-b", "main", str(path), cwd=tmp_path)
    for text in ("one", "two"):
        newest_git.run("commit", "-q", "--allow-empty", "-m", text, cwd=path)
    newest_git.run("tag", "-a", "-m", "x", "v1", cwd=path)
    return path


def push(git: Git, work: Path, server: Path, namespace: str, *refs: str) -> None:
    program = f"GIT_NAMESPACE={namespace} {RECEIVE}"
    git.run("push", "-q", f"--receive-pack={program}", str(server), *refs, cwd=work)


def listed(git: Git, server: Path, namespace: str) -> list[str]:
    told = git.lines("ls-remote", f"--upload-pack=GIT_NAMESPACE={namespace} {UPLOAD}", str(server))
    return [line.split("\t")[1] for line in told]


def test_a_namespace_is_a_repository(newest_git: Git, server: Path, work: Path) -> None:
    push(newest_git, work, server, "a", "main", "v1")
    push(newest_git, work, server, "a/b", "main~1:refs/heads/other")
    names = newest_git.lines("for-each-ref", "--format=%(refname)", cwd=server)
    assert names == [
        "refs/namespaces/a/refs/heads/main",
        "refs/namespaces/a/refs/namespaces/b/refs/heads/other",
        "refs/namespaces/a/refs/tags/v1",
    ]
    assert listed(newest_git, server, "a") == [
        "refs/heads/main", "refs/namespaces/b/refs/heads/other", "refs/tags/v1", "refs/tags/v1^{}",
    ]  # fmt: skip
    assert listed(newest_git, server, "a/b") == ["refs/heads/other"]
    assert listed(newest_git, server, "none") == []
    push(newest_git, work, server, "a", ":v1", "+main~1:main")
    assert "refs/tags/v1" not in listed(newest_git, server, "a")


@pytest.mark.parametrize("version", [0, 2])
def test_clone_follows_its_head(
    newest_git: Git, server: Path, work: Path, tmp_path: Path, version: int
) -> None:
    push(newest_git, work, server, "a", "main:one", "main~1:refs/heads/two")
    newest_git.run(
        "symbolic-ref", "refs/namespaces/a/HEAD", "refs/namespaces/a/refs/heads/two", cwd=server
    )
    newest_git.run(
        "-c", f"protocol.version={version}", "clone", "-q", "-u", f"GIT_NAMESPACE=a {UPLOAD}",
        f"file://{server}", str(tmp_path / "clone"), cwd=tmp_path,
    )  # fmt: skip
    assert newest_git.text("symbolic-ref", "HEAD", cwd=tmp_path / "clone") == "refs/heads/two"


def test_hidden_in_a_namespace(newest_git: Git, server: Path, work: Path) -> None:
    push(newest_git, work, server, "a", "main", "main:refs/heads/secret", "v1")
    for pattern, left in (
        ("refs/heads/secret", ["refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}"]),
        ("^refs/heads/secret", None),
        ("^refs/namespaces/a/refs/heads", ["refs/tags/v1", "refs/tags/v1^{}"]),
        ("^refs/namespaces/b", None),
        ("^refs/namespaces", []),
    ):
        newest_git.run("config", "transfer.hideRefs", pattern, cwd=server)
        everything = [
            "refs/heads/main", "refs/heads/secret", "refs/tags/v1", "refs/tags/v1^{}",
        ]  # fmt: skip
        assert listed(newest_git, server, "a") == (everything if left is None else left), pattern
        theirs = newest_git.lines(
            "ls-remote", f"--upload-pack=GIT_NAMESPACE=a {newest_git.path} upload-pack", str(server)
        )
        assert [line.split("\t")[1] for line in theirs] == listed(newest_git, server, "a"), pattern
