"""``receive.updateServerInfo``: what git's own command would have written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.interop.test_hooks import client, clone
from tests.support.client import Client

__all__ = ["client", "clone"]


def infos(repository: Path) -> tuple[bytes, set[bytes]]:
    """Refs as they stand; packs in any order."""
    packs = (repository / "objects/info/packs").read_bytes()
    assert packs.endswith(b"\n\n")
    return (repository / "info/refs").read_bytes(), set(packs.splitlines())


def test_as_git_writes_them(client: Client, lively: Path, clone: Path, tmp_path: Path) -> None:
    client.git.run("config", "receive.updateServerInfo", "true", cwd=lively)
    client.git.run("config", "transfer.hideRefs", "refs/heads/main", cwd=lively)
    client.git.run("tag", "-a", "-m", "tag", "marked", cwd=clone)
    client.push(clone, "HEAD:refs/heads/new", "marked")
    ours = infos(lively)
    assert b"refs/tags/marked^{}" in ours[0]
    assert b"refs/heads/main" in ours[0]
    copy = tmp_path / "copy.git"
    shutil.copytree(lively, copy)
    for name in ("info/refs", "objects/info/packs"):
        (copy / name).unlink()
    client.git.run("update-server-info", cwd=copy)
    assert infos(copy) == ours
    # files that are right are left alone
    before = os.stat(lively / "objects/info/packs").st_ino
    client.push(clone, ":refs/heads/new")
    assert b"refs/heads/new\n" not in infos(lively)[0]
    assert os.stat(lively / "objects/info/packs").st_ino == before
    assert {path.name for path in (lively / "info").iterdir()} <= {"refs", "exclude"}


@pytest.mark.parametrize("said", [None, "false"])
def test_only_where_it_is_wanted(
    client: Client, lively: Path, clone: Path, said: str | None
) -> None:
    if said is not None:
        client.git.run("config", "receive.updateServerInfo", said, cwd=lively)
    (lively / "info/refs").unlink(missing_ok=True)
    client.push(clone, "HEAD:refs/heads/new")
    assert not (lively / "info/refs").exists()
