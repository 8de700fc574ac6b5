"""The gits on this machine, and how a test runs them.

In: ``PATH`` and two usual folders. Out: one :class:`Git` a version. The environment that keeps a
person's own configuration out of the tests is set once for the whole run, in ``conftest.py``.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GIT_TIMEOUT = 100.0
"""Seconds a single git command may take: below the limit of a test, so that its output is shown."""

CONFIG = """\
[user]
\tname = A Tester
\temail = tester@example.org
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
[maintenance]
\tauto = false
[protocol "file"]
\tallow = always
[advice]
\tdetachedHead = false
[safe]
\tdirectory = *
[core]
\tfsync = none
[fetch]
\trecurseSubmodules = false
"""


@dataclass(frozen=True, slots=True)
class Git:
    """One git binary."""

    path: str
    version: str
    timeout: float = GIT_TIMEOUT

    def run(
        self,
        *arguments: str | os.PathLike[str],
        cwd: Path | None = None,
        stdin: bytes | None = None,
        check: bool = True,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs it to the end; an unexpected failure shows what it said."""
        done = subprocess.run(
            [self.path, *arguments],
            cwd=cwd,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=self.timeout,
            env={**os.environ, **env} if env else None,
            check=False,
        )
        if check and done.returncode:
            words = " ".join(os.fspath(argument) for argument in arguments)
            said = (done.stdout[-2000:] + done.stderr[-4000:]).decode(errors="replace")
            raise AssertionError(f"git {words} failed ({done.returncode}):\n{said}")
        return done

    def text(self, *arguments: str | os.PathLike[str], cwd: Path | None = None) -> str:
        """Its standard output, stripped."""
        return self.run(*arguments, cwd=cwd).stdout.decode().strip()

    def lines(self, *arguments: str | os.PathLike[str], cwd: Path | None = None) -> list[str]:
        """Its standard output as lines."""
        return self.text(*arguments, cwd=cwd).splitlines()


@cache
def installed_gits() -> tuple[Git, ...]:
    """Every git on ``PATH`` and in the usual folders, one a version, newest first."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    by_version: dict[str, Git] = {}
    for folder in dict.fromkeys(folders):
        path = Path(folder, "git")
        if not (path.is_file() and os.access(path, os.X_OK)):
            continue
        said = subprocess.run([path, "--version"], capture_output=True, timeout=20, check=True)
        version = said.stdout.decode().split()[2]
        by_version.setdefault(version, Git(str(path), version))
    if not by_version:
        raise RuntimeError("the tests need git: none on PATH, /usr/bin or /usr/local/bin")

    def age(git: Git) -> list[int]:
        return [int(part) for part in git.version.split(".") if part.isdigit()]

    return tuple(sorted(by_version.values(), key=age, reverse=True))


def object_ids(git: Git, repository: Path, *which: str) -> list[str]:
    """The sorted ids of all objects that the refs (or ``which`` of them) reach."""
    listed = git.lines("rev-list", "--objects", *(which or ("--all",)), cwd=repository)
    return sorted({line.split(" ", 1)[0] for line in listed})


def refs(git: Git, repository: Path, *patterns: str) -> dict[str, str]:
    """Ref names and their ids."""
    listed = git.lines(
        "for-each-ref", "--format=%(refname) %(objectname)", *patterns, cwd=repository
    )
    return dict(line.split(" ", 1) for line in listed)


def assert_sound(git: Git, repository: Path) -> None:
    """``git fsck --full`` finds nothing wrong."""
    done = git.run("fsck", "--full", "--strict", "--no-dangling", cwd=repository, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    troubles = [
        line
        for line in said.splitlines()
        if line.startswith(("error", "fatal", "missing", "broken"))
    ]
    assert done.returncode == 0, said
    assert not troubles, said
