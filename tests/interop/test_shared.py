"""``core.sharedRepository``: what a push makes has the modes that git gives, whatever the umask."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.repositories import new_bare
from tests.support.server import Programs

pytestmark = pytest.mark.ours

NAMES = re.compile(r"(?<=objects/)[0-9a-f]{2}|[0-9a-f]{38,}|(?<=0x)\w{12}|(?<=-)\w{8}(?=\.ref)")
"""What differs between two pushes of the same."""


@pytest.fixture
def source(newest_git: Git, tmp_path: Path) -> Path:
    path = tmp_path / "source"
    newest_git.run("init", "-q", "-b", "main", path)
    for number in range(3):
        newest_git.run("commit", "-q", "--allow-empty", "-m", f"{number}", cwd=path)
        newest_git.run("tag", "-a", "-m", "a tag", f"v{number}", cwd=path)
    return path


def pushed(
    git: Git, repository: Path, source: Path, program: str, shared: str, ref_format: str
) -> dict[str, str]:
    """The modes of what two pushes have made, one kept as a pack and one taken apart."""
    new_bare(git, repository, f"--shared={shared}", f"--ref-format={ref_format}")
    git.run("config", "core.logAllRefUpdates", "true", cwd=repository)
    before = set(repository.rglob("*"))
    steps = [
        ("1", ["v0^{}:refs/heads/main", "v0^{}:refs/heads/a/b", "v0"]),
        ("1000", ["main", "v2"]),
    ]
    for limit, refspecs in steps:
        git.run("config", "receive.unpackLimit", limit, cwd=repository)
        receive = f"--receive-pack=umask 027 && {program}"
        git.run("push", "-q", receive, f"file://{repository}", *refspecs, cwd=source)
    made = {}
    for path in set(repository.rglob("*")) - before:
        name = str(path.relative_to(repository))
        # small packs of ours have no reverse index
        if not name.startswith("gitserve-") and not name.endswith((".lock", ".rev")):
            made[NAMES.sub("X", name)] = stat.filemode(path.lstat().st_mode)
    return made


@pytest.mark.parametrize("ref_format", ["files", "reftable"])
@pytest.mark.parametrize("shared", ["umask", "group", "everybody", "0640", "0600", "0664"])
def test_modes_are_gits(
    programs: Programs,
    newest_git: Git,
    source: Path,
    tmp_path: Path,
    shared: str,
    ref_format: str,
) -> None:
    theirs = f"{shlex.quote(str(newest_git.path))} receive-pack"
    by_git = pushed(newest_git, tmp_path / "git.git", source, theirs, shared, ref_format)
    ours = tmp_path / "ours.git"
    made = pushed(newest_git, ours, source, programs.receive_pack, shared, ref_format)
    assert made == by_git
    if shared == "group":
        assert stat.S_IMODE((ours / "gitserve-locks").stat().st_mode) & 0o2070 == 0o2070
    newest_git.run("fsck", "--no-dangling", cwd=ours)


@pytest.fixture
def run_config(newest_git: Git, tmp_path: Path) -> Callable[[str], Path]:
    def make(value: str) -> Path:
        repository = tmp_path / "odd.git"
        new_bare(newest_git, repository)
        newest_git.run("config", "core.sharedRepository", value, cwd=repository)
        return repository

    return make


def test_a_mode_that_keeps_the_owner_out_is_refused(
    programs: Programs, newest_git: Git, source: Path, run_config: Callable[[str], Path]
) -> None:
    repository = run_config("0070")
    words = [
        "push",
        "-q",
        f"--receive-pack={programs.receive_pack}",
        f"file://{repository}",
        "main",
    ]
    assert newest_git.run(*words, cwd=source, check=False).returncode != 0
    assert not list((repository / "objects").glob("incoming-*"))


def test_what_is_rolled_up_is_shared(newest_git: Git, source: Path, tmp_path: Path) -> None:
    repository = tmp_path / "shared.git"
    new_bare(newest_git, repository, "--shared=group")
    newest_git.run("config", "receive.unpackLimit", "1000", cwd=repository)
    newest_git.run("push", "-q", repository, "main", "v0", "v1", "v2", cwd=source)
    gitserve = shlex.quote(str(Path(sys.executable).with_name("gitserve")))
    command = f"umask 077 && {gitserve} maintain --full {shlex.quote(str(repository))}"
    subprocess.run(["sh", "-c", command], check=True, timeout=60)
    packs = list((repository / "objects/pack").iterdir())
    assert {path.suffix for path in packs} >= {".pack", ".idx"}
    for path in [*packs, repository / "packed-refs"]:
        assert path.stat().st_mode & 0o040, path
