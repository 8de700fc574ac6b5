"""The pushes whose ends are tested, each as a repository and the bytes that are sent to it.

In: git. Out: :class:`Push` values. Every one moves refs in another way: loose, packed, deleted,
several together.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.support.gits import Git, assert_sound, installed_gits, refs

NOTHING = "0" * 40
GIT = installed_gits()[0]


@dataclass(frozen=True, slots=True)
class Push:
    """A repository, the push that is sent to it, and another that has to succeed afterwards."""

    name: str
    repository: Path
    work: Path
    before: dict[str, str]
    after: dict[str, str]
    is_atomic: bool
    request: bytes
    next_commit: str
    next_pack: bytes

    def next_request(self, found: dict[str, str]) -> bytes:
        """Moves every ref of the push on, from what it is found at."""
        names = sorted(self.before.keys() | self.after.keys())
        commands = [(found.get(name, NOTHING), self.next_commit, name) for name in names]
        return request(commands, self.next_pack, is_atomic=False)

    def check(self, repository: Path, acknowledged: frozenset[bytes]) -> dict[str, str]:
        """The repository is whole, and shows of the push what may be seen. The refs."""
        assert_sound(GIT, repository)
        found = refs(GIT, repository)
        names = self.before.keys() | self.after.keys()
        assert found.keys() <= names
        for name in names:
            allowed = {self.before.get(name), self.after.get(name)}
            if name.encode() in acknowledged:
                allowed = {self.after.get(name)}
            assert found.get(name) in allowed, f"{name}: {found.get(name)}, not one of {allowed}"
        if self.is_atomic:
            assert found in (self.before, self.after), "an atomic push is half there"
        return found

    def check_next(self, found: dict[str, str], told: frozenset[bytes], repository: Path) -> None:
        """The push that followed went through, past all locks that it met."""
        names = found.keys() | self.before.keys() | self.after.keys()
        assert told == {name.encode() for name in names}, told
        assert refs(GIT, repository) == dict.fromkeys(names, self.next_commit)
        assert not [str(path) for path in (repository / "refs").rglob("*.lock")]
        assert_sound(GIT, repository)


def request(commands: list[tuple[str, str, str]], pack: bytes, *, is_atomic: bool) -> bytes:
    """Commands and a pack as a client sends them."""
    capabilities = "report-status delete-refs ofs-delta" + (" atomic" if is_atomic else "")
    lines = [f"{old} {new} {name}" for old, new, name in commands]
    lines[0] += "\0" + capabilities
    sent = b"".join(b"%04x%b" % (len(line) + 4, line.encode()) for line in lines)
    return sent + b"0000" + pack


def make(folder: Path, name: str, git: Git = GIT) -> Push:
    """The push of this name, below a folder that is not there."""
    folder.mkdir()
    work, repository = folder / "work", folder / "repository.git"
    git.run("init", "-q", work)
    commits = [_commit(git, work, number) for number in range(6)]
    tables = ["--ref-format=reftable"] if name == "reftable" else []
    git.run("init", "-q", "--bare", "--template=", *tables, repository)
    setup, moves, is_atomic = PUSHES[name]
    before = setup(git, work, repository, commits)
    after = {**before, **{ref: commits[to] for ref, to in moves.items() if to is not None}}
    for ref, to in moves.items():
        if to is None:
            del after[ref]
    assert refs(git, repository) == before
    commands = [
        (before.get(ref, NOTHING), NOTHING if to is None else commits[to], ref)
        for ref, to in moves.items()
    ]
    wants = [commits[to] for to in moves.values() if to is not None]
    pack = _pack(git, work, wants, sorted(set(before.values()))) if wants else b""
    return Push(
        name,
        repository,
        work,
        before,
        after,
        is_atomic,
        request(commands, pack, is_atomic=is_atomic),
        commits[5],
        _pack(git, work, [commits[5]], []),
    )


def _commit(git: Git, work: Path, number: int) -> str:
    (work / f"file{number}").write_text(f"{number}\n" * 200)
    (work / "shared").write_text("".join(f"{line} {line // (number + 1)}\n" for line in range(300)))
    git.run("add", ".", cwd=work)
    git.run("commit", "-q", "-m", f"commit {number}", cwd=work)
    return git.text("rev-parse", "HEAD", cwd=work)


def _pack(git: Git, work: Path, wants: list[str], haves: list[str]) -> bytes:
    names = "\n".join([*wants, *("^" + have for have in haves), ""])
    done = subprocess.run(
        [git.path, "pack-objects", "--revs", "--thin", "--stdout", "-q"],
        cwd=work,
        input=names.encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout


Setup: TypeAlias = "Callable[[Git, Path, Path, list[str]], dict[str, str]]"


def _with(*names: str, packed: bool = False, logs: bool = False) -> Setup:
    """A repository in which these refs are at the first commits."""

    def setup(git: Git, work: Path, repository: Path, commits: list[str]) -> dict[str, str]:
        if logs:
            git.run("config", "core.logAllRefUpdates", "true", cwd=repository)
        before = {name: commits[at % 2] for at, name in enumerate(names)}
        for name, commit in before.items():
            git.run("push", "-q", repository, f"{commit}:{name}", cwd=work)
        if packed:
            git.run("pack-refs", "--all", cwd=repository)
        return before

    return setup


MANY = tuple(f"refs/heads/many/{number:02}" for number in range(40))

PUSHES: dict[str, tuple[Setup, dict[str, int | None], bool]] = {
    "create": (_with(), {"refs/heads/main": 2}, False),
    "update": (
        _with("refs/heads/main", "refs/heads/gone", packed=True, logs=True),
        {"refs/heads/main": 3, "refs/heads/gone": None, "refs/heads/a/b/new": 2},
        False,
    ),
    "delete": (
        _with("refs/heads/main", "refs/heads/x/gone"),
        {"refs/heads/x/gone": None},
        False,
    ),
    "atomic": (
        _with("refs/heads/main", "refs/heads/gone", "refs/heads/kept"),
        {"refs/heads/main": 2, "refs/heads/gone": None, "refs/tags/new": 3},
        True,
    ),
    "atomic-packed": (
        _with("refs/heads/main", "refs/heads/gone", packed=True),
        {"refs/heads/main": 2, "refs/heads/gone": None, "refs/tags/new": 3},
        True,
    ),
    "reftable": (
        _with("refs/heads/main", "refs/heads/gone", logs=True),
        {"refs/heads/main": 2, "refs/heads/gone": None, "refs/tags/new": 3},
        True,
    ),
    "many": (_with("refs/heads/main", *MANY[:3]), dict.fromkeys(MANY, 3), False),
}


def copy(repository: Path, to: Path) -> Path:
    """A copy to be broken."""
    subprocess.run(["cp", "-a", os.fspath(repository), os.fspath(to)], check=True, timeout=60)
    return to


def leftovers(repository: Path) -> list[str]:
    """What a push should not leave behind."""
    found = [str(path.relative_to(repository)) for path in repository.rglob("*")]
    return sorted(
        name
        for name in found
        if name.endswith((".lock", ".new", ".keep"))
        or "/tmp_" in name
        or "incoming-" in name
        or "gitserve-locks/" in name
    )


def let_pass(repository: Path, *, seconds: int) -> None:
    """Makes all of it so much older: what may be somebody's work is left alone for a minute."""
    now = time.time()
    for path in [repository, *repository.rglob("*")]:
        os.utime(path, (now - seconds, now - seconds))
