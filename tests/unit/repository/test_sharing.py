"""``core.sharedRepository`` as git reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitserve.errors import RepositoryError
from gitserve.repository.config import ConfigFiles
from gitserve.repository.sharing import sharing


def code(folder: Path, line: str) -> int:
    (folder / "config").write_text(f"[core]\n\t{line}\n")
    return sharing(
        ConfigFiles(common_dir=str(folder), environ={"GIT_CONFIG_NOSYSTEM": "1"}).current()
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bare = true", 0),
        ("sharedRepository = umask", 0),
        ("sharedRepository = false", 0),
        ("sharedRepository = 0", 0),
        ("sharedRepository = group", 0o660),
        ("sharedRepository = true", 0o660),
        ("sharedRepository", 0o660),
        ("sharedRepository = 1", 0o660),
        ("sharedRepository = 2", 0o664),
        ("sharedRepository = world", 0o664),
        ("sharedRepository = 0640", -0o640),
        ("sharedRepository = 0777", -0o666),
    ],
)
def test_values(tmp_path: Path, line: str, expected: int) -> None:
    assert code(tmp_path, line) == expected


@pytest.mark.parametrize("mode", ["0070", "0440", "3"])
def test_the_owner_stays_in(tmp_path: Path, mode: str) -> None:
    with pytest.raises(RepositoryError, match=r"core\.sharedRepository filemode value"):
        code(tmp_path, f"sharedRepository = {mode}")
