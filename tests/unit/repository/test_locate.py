"""Finding repositories where git finds them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from gitserve.repository.locate import Location, locate
from gitserve.repository.ownership import DubiousOwnership, check_ownership
from gitserve.repository.refname import is_well_formed

CLEAN = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def git(*arguments: str | Path) -> None:
    subprocess.run(["git", *map(str, arguments)], env=CLEAN, check=True, capture_output=True)


def test_the_places_git_guesses(tmp_path: Path) -> None:
    git("init", "-q", "--bare", tmp_path / "bare.git")
    git("init", "-q", tmp_path / "work")
    bare, inner = str(tmp_path / "bare.git"), str(tmp_path / "work/.git")
    assert locate(bare) == Location(bare, bare)
    assert locate(str(tmp_path / "bare")) == Location(bare, bare)
    assert locate(str(tmp_path / "work")) == Location(inner, inner)
    assert locate(inner, strict=True) == Location(inner, inner)
    assert locate(str(tmp_path / "bare"), strict=True) is None
    assert locate(str(tmp_path / "work"), strict=True) is None
    assert locate(str(tmp_path)) is None
    assert locate(str(tmp_path / "nothing")) is None


def test_a_folder_that_is_both(tmp_path: Path) -> None:
    """A bare repository that holds a ``.git``: git serves the inner one, unless --strict."""
    git("init", "-q", "--bare", tmp_path / "both")
    git("init", "-q", "--bare", tmp_path / "both/.git")
    inner = str(tmp_path / "both/.git")
    found = locate(str(tmp_path / "both"))
    assert found == Location(inner, inner)
    assert locate(str(tmp_path / "both"), strict=True) == Location(
        str(tmp_path / "both"), str(tmp_path / "both")
    )


def test_git_files_and_worktrees(tmp_path: Path) -> None:
    git("init", "-q", "--separate-git-dir", tmp_path / "real", tmp_path / "work")
    real = str(tmp_path / "real")
    assert locate(str(tmp_path / "work")) == Location(real, real)
    git("-C", tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "one")
    git("-C", tmp_path / "work", "worktree", "add", "-q", "-b", "side", tmp_path / "tree")
    assert locate(str(tmp_path / "tree")) == Location(real + "/worktrees/tree", real)
    (tmp_path / "stray").write_text("gitdir: nowhere\n")
    assert locate(str(tmp_path / "stray")) is None


@pytest.mark.parametrize("broken", ["HEAD", "objects", "refs"])
def test_what_lacks_a_part_is_none(broken: str, tmp_path: Path) -> None:
    path = tmp_path / "repo.git"
    git("init", "-q", "--bare", path)
    os.rename(path / broken, path / "elsewhere")
    assert locate(str(path)) is None


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        ("ref: refs/heads/main\n", True),
        ("ref:refs/heads/x", True),
        ("ref: main\n", False),
        ("0123456789" * 4 + "\n", True),
        ("0123456789\n", False),
        ("", False),
        ("x" * 40, False),
    ],
)
def test_heads(head: str, is_one: bool, tmp_path: Path) -> None:
    git("init", "-q", "--bare", tmp_path)
    (tmp_path / "HEAD").write_text(head)
    assert (locate(str(tmp_path)) is not None) == is_one


def test_ownership(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "-q", "--bare", tmp_path / "r.git")
    location = locate(str(tmp_path / "r.git"))
    assert location is not None
    env = {"GIT_CONFIG_GLOBAL": str(tmp_path / "global"), "GIT_CONFIG_NOSYSTEM": "1"}
    check_ownership(location, env)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    with pytest.raises(DubiousOwnership, match=r"safe\.directory"):
        check_ownership(location, env)
    with (tmp_path / "r.git/config").open("a") as config:
        config.write("[safe]\ndirectory = *\n")
    with pytest.raises(DubiousOwnership):
        check_ownership(location, env)
    for value in ("*", str(tmp_path / "r.git"), f"{tmp_path}/*"):
        (tmp_path / "global").write_text(f"[safe]\ndirectory = {value}\n")
        check_ownership(location, env)
    (tmp_path / "global").write_text("[safe]\ndirectory = *\ndirectory =\n")
    with pytest.raises(DubiousOwnership):
        check_ownership(location, env)


NAMES = [
    b"refs/heads/main",
    b"heads/a",
    b"one",
    b"@",
    b"a/@",
    b"a/../b",
    b"a/.b",
    b"a/b.lock",
    b"a.lock/b",
    b"a//b",
    b"/a/b",
    b"a/b/",
    b"a/b.",
    b"a/b\x01",
    b"a/b c",
    b"a/b~1",
    b"a/b^",
    b"a/b:c",
    b"a/b?",
    b"a/b*",
    b"a/b[",
    b"a/b\\c",
    b"a/b@{c",
    b"a/b\x7f",
    b"a/\xc3\xa4",
    b"a/b.c",
    b"a./b",
    b"a/-b",
    b"\xff/\xfe",
    b"a/b..c",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("one_level", [False, True])
def test_ref_names_are_judged_as_git_does(name: bytes, one_level: bool) -> None:
    flags = ["--allow-onelevel"] if one_level else []
    judged = subprocess.run(["git", "check-ref-format", *flags, name], env=CLEAN)
    assert is_well_formed(name, one_level=one_level) == (judged.returncode == 0)
