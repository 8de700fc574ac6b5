"""``receive.denyCurrentBranch=updateInstead``: the work tree follows the push, or nothing moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.test_hooks import client
from tests.support.client import Client

__all__ = ["client"]


@pytest.fixture
def site(client: Client, lively: Path, served: Path) -> Path:
    """A repository with a work tree that pushes are to update."""
    client.git.run("clone", "-q", lively, served / "site")
    client.git.run("config", "receive.denyCurrentBranch", "updateInstead", cwd=served / "site")
    return served / "site"


@pytest.fixture
def clone(client: Client, site: Path, tmp_path: Path) -> Path:
    """With a new file that the site has not."""
    client.clone(site, tmp_path / "clone")
    (tmp_path / "clone/new file").write_text("new\n")
    client.git.run("add", ".", cwd=tmp_path / "clone")
    client.git.run("commit", "-q", "-m", "new", cwd=tmp_path / "clone")
    return tmp_path / "clone"


def status(client: Client, site: Path) -> str:
    return client.git.text("status", "--porcelain", cwd=site)


def push(client: Client, clone: Path) -> str:
    done = client.run("push", "origin", "HEAD", cwd=clone, check=False)
    return done.stderr.decode()


def test_files_follow(client: Client, site: Path, clone: Path) -> None:
    assert "rejected" not in push(client, clone)
    assert (site / "new file").read_text() == "new\n"
    assert status(client, site) == ""
    tips = [client.git.text("rev-parse", "HEAD", cwd=place) for place in (site, clone)]
    assert tips[0] == tips[1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("tracked", "Working directory has unstaged changes"),
        ("staged", "Working directory has staged changes"),
        ("untracked", "Could not update working tree to new HEAD"),
    ],
)
def test_what_somebody_works_on_is_left_alone(
    client: Client, site: Path, clone: Path, change: str, reason: str
) -> None:
    before = client.git.text("rev-parse", "HEAD", cwd=site)
    name = "new file" if change == "untracked" else client.git.text("ls-files", cwd=site).split()[0]
    (site / name).write_text("mine\n")
    if change == "staged":
        client.git.run("add", name, cwd=site)
    changed = status(client, site)
    assert f"({reason})" in push(client, clone)
    assert client.git.text("rev-parse", "HEAD", cwd=site) == before
    assert status(client, site) == changed
    assert (site / name).read_text() == "mine\n"


def test_a_hook_does_it_instead(client: Client, site: Path, clone: Path) -> None:
    hook = site / ".git/hooks/push-to-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\necho "moving to $1"\ngit read-tree -u -m HEAD "$1"\n')
    hook.chmod(0o755)
    (site / "untracked").write_text("mine\n")
    tip = client.git.text("rev-parse", "HEAD", cwd=clone)
    assert f"moving to {tip}" in push(client, clone)
    assert (site / "new file").read_text() == "new\n"
    assert status(client, site) == "?? untracked"
    hook.write_text("#!/bin/sh\nexit 1\n")
    client.git.run("commit", "-q", "--allow-empty", "-m", "more", cwd=clone)
    assert "(push-to-checkout hook declined)" in push(client, clone)
    assert client.git.text("rev-parse", "HEAD", cwd=site) == tip
