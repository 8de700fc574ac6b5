"""A small history, and both ends' view of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.session.git_repository import GitRepository, git


def _history() -> bytes:
    """Six commits on main, one on a branch from the third, an annotated tag on the fourth."""
    out = [
        f"commit refs/heads/main\nmark :{number}\n"
        f"committer C <c@example.org> {1_700_000_000 + number * 100} +0000\n"
        f"data 2\nc{number}\nM 100644 inline file\ndata 2\n{number}\n"
        for number in range(1, 7)
    ]
    out.append(
        "commit refs/heads/side\nmark :7\ncommitter C <c@example.org> 1700000350 +0000\n"
        "data 1\ns\nfrom :3\nM 100644 inline other\ndata 1\ns\n"
        "tag v1\nfrom :4\ntagger C <c@example.org> 1700000400 +0000\ndata 1\nt\n"
    )
    return "".join(out).encode()


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository."""
    path = tmp_path_factory.mktemp("history")
    git(path, "init", "-q", "--bare", "-b", "main")
    git(path, "fast-import", "--quiet", data=_history())
    return path


@pytest.fixture(scope="session")
def repository(history: Path) -> GitRepository:
    """The same, performing."""
    return GitRepository(history)


@pytest.fixture(scope="session")
def ids(history: Path) -> dict[str, str]:
    """c1 to c6, s, t (the tag object); Y and Z that exist nowhere."""
    names = {f"c{n}": f"main~{6 - n}" for n in range(1, 7)} | {"s": "side", "t": "v1"}
    known = {key: git(history, "rev-parse", name).decode().strip() for key, name in names.items()}
    return known | {"Y": "abcde" * 8, "Z": "12345" * 8}
