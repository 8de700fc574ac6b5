"""A real git as client, over one road and one protocol version.

In: repositories on disk. Out: clones and pushes of them through the server under test. What is the
same for all operations lives here: the URL, the flags that choose our programs, the version.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.gits import Git
from tests.support.server import Programs, Server

RoadName = Literal["daemon", "stdio"]


@dataclass(frozen=True, slots=True)
class Client:
    """One cell of the matrix."""

    git: Git
    protocol: int
    road: RoadName
    programs: Programs
    server: Server

    def url(self, repository: Path) -> str:
        """Where the client finds this repository."""
        return self.server.url(repository) if self.road == "daemon" else f"file://{repository}"

    def options(self) -> list[str]:
        """Options of git itself."""
        return ["-c", f"protocol.version={self.protocol}"]

    def run(
        self, *arguments: str | Path, cwd: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Any git command, in our protocol version."""
        return self.git.run(*self.options(), *arguments, cwd=cwd, check=check)

    def clone(
        self, repository: Path, to: Path, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """``git clone``, leaving a clone that will fetch and push the same way."""
        flags = ["-u", self.programs.upload_pack] if self.road == "stdio" else []
        done = self.run(
            "clone", "--quiet", *flags, *arguments, self.url(repository), to, check=check
        )
        if done.returncode == 0:
            self.adopt(to)
        return done

    def adopt(self, clone: Path, remote: str = "origin") -> None:
        """Makes a remote use the programs under test."""
        if self.road == "stdio":
            self.git.run(
                "config", f"remote.{remote}.uploadpack", self.programs.upload_pack, cwd=clone
            )
            self.git.run(
                "config", f"remote.{remote}.receivepack", self.programs.receive_pack, cwd=clone
            )

    def connect(self, clone: Path, repository: Path, remote: str = "origin") -> None:
        """Gives a local repository this remote."""
        self.git.run("remote", "add", remote, self.url(repository), cwd=clone)
        self.adopt(clone, remote)

    def fetch(
        self, clone: Path, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """``git fetch``."""
        return self.run("fetch", "--quiet", *arguments, cwd=clone, check=check)

    def push(
        self, clone: Path, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """``git push --porcelain`` to origin."""
        return self.run("push", "--porcelain", "origin", *arguments, cwd=clone, check=check)

    def ls_remote(self, repository: Path, *patterns: str, options: Sequence[str] = ()) -> list[str]:
        """``git ls-remote`` as lines."""
        flags = [f"--upload-pack={self.programs.upload_pack}"] if self.road == "stdio" else []
        done = self.run("ls-remote", *flags, *options, self.url(repository), *patterns)
        return done.stdout.decode().splitlines()
