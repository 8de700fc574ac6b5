"""What tests of homes share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitserve.transport.homes import Homes

from tests.support.gits import Git
from tests.support.orders import SIZE
from tests.support.repositories import large_blob


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    path = tmp_path_factory.mktemp("homes") / "packed.git"
    large_blob(newest_git, path, SIZE)
    newest_git.run("tag", "-a", "-m", "a tag", "v1", "main", cwd=path)
    newest_git.run("repack", "-adq", cwd=path)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "packed.git"))


@pytest.fixture
def homes() -> Iterator[Homes]:
    made = Homes(2)
    yield made
    made.close()
