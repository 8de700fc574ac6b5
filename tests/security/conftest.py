"""Repositories that are served, and one that is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.conversing import Site, open_site
from tests.support.gits import Git
from tests.support.repositories import small


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    """A repository, only to be copied."""
    path = tmp_path_factory.mktemp("original") / "small.git"
    small(newest_git, path)
    newest_git.run("repack", "-adq", cwd=path)
    return path


@pytest.fixture
def site(tmp_path: Path, original: Path) -> Iterator[Site]:
    """``small.git`` is served; ``outside.git`` lies beside the folder, and a link leads there."""
    folder = tmp_path / "served"
    shutil.copytree(original, folder / "small.git")
    shutil.copytree(original, tmp_path / "outside.git")
    (folder / "link.git").symlink_to("../outside.git")
    with open_site(folder, tmp_path / "log") as opened:
        yield opened
