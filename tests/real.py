"""The operations of the matrix on repositories that people really have.

    python -m tests.real PATH...

In: paths of repositories, which are only read. Out: a line an operation and its seconds; the exit
status says whether all was well. Works below a temporary folder (``TMPDIR``), on a copy served by a
daemon of its own. Not part of ``make test``: large repositories take minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.support.client import Client
from tests.support.gits import CONFIG, Git, installed_gits, object_ids, refs
from tests.support.server import Server, gitserve_programs, running_server

BEHIND = 20


def copy(git: Git, source: Path, to: Path) -> None:
    """A bare copy, made by git alone."""
    git.run("clone", "-q", "--mirror", f"file://{source.resolve()}", to)


def scatter(git: Git, source: Path, to: Path) -> None:
    """The same history as forty packs and some loose objects."""
    git.run("init", "-q", "--bare", to)
    git.run("config", "fetch.unpackLimit", "1", cwd=to)
    line = git.lines("rev-list", "--first-parent", "--reverse", "HEAD", cwd=source)
    for number in range(1, 41):
        tip = line[(len(line) - 1) * number // 40]
        git.run("update-ref", "refs/heads/step", tip, cwd=source)
        if number == 40:
            git.run("config", "fetch.unpackLimit", "1000000", cwd=to)
        fetch = ("fetch", "-q", "--no-tags", f"file://{source}", "+step:refs/heads/main")
        git.run(*fetch, cwd=to)
    git.run("update-ref", "-d", "refs/heads/step", cwd=source)
    git.run("symbolic-ref", "HEAD", "refs/heads/main", cwd=to)


class Trial:
    """All operations on one served repository."""

    def __init__(self, client: Client, repository: Path, work: Path, fsck: bool) -> None:
        self.client, self.repository, self.work, self.fsck = client, repository, work, fsck
        self.git = client.git
        self.want = object_ids(self.git, repository)

    def timed(self, name: str, operation: Callable[[Path], None]) -> None:
        """Runs one operation in a folder of its own."""
        folder = self.work / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        began = time.monotonic()
        operation(folder)
        print(f"  {name:34} {time.monotonic() - began:8.1f} s", flush=True)
        shutil.rmtree(folder)

    def check(self, clone: Path, want: list[str]) -> None:
        """The clone has exactly these objects, all of them readable."""
        assert object_ids(self.git, clone) == want
        if self.fsck:
            self.git.run("fsck", "--full", "--no-dangling", "--no-progress", cwd=clone)

    def mirror(self, folder: Path) -> None:
        clone = folder / "clone.git"
        self.client.clone(self.repository, clone, "--mirror")
        assert refs(self.git, clone) == refs(self.git, self.repository)
        self.check(clone, self.want)

    def depth(self, folder: Path) -> None:
        clone, judge = folder / "clone.git", folder / "judge.git"
        self.client.clone(self.repository, clone, "--bare", "--depth=1")
        url = f"file://{self.repository}"
        self.git.run("clone", "-q", "--bare", "--depth=1", url, judge)
        self.check(clone, object_ids(self.git, judge))

    def fetch(self, folder: Path) -> None:
        old, clone = folder / "old.git", folder / "clone.git"
        self.git.run("clone", "-q", "--bare", "--shared", self.repository, old)
        for name in refs(self.git, old):
            if name != self.git.text("symbolic-ref", "HEAD", cwd=old):
                self.git.run("update-ref", "-d", name, cwd=old)
        behind = self.git.text("rev-parse", f"HEAD~{BEHIND}", cwd=old)
        self.git.run("update-ref", "HEAD", behind, cwd=old)
        self.git.run("clone", "-q", "--bare", f"file://{old}", clone)
        self.git.run("config", "remote.origin.url", self.client.url(self.repository), cwd=clone)
        self.client.adopt(clone)
        self.client.fetch(clone, "origin", "+refs/*:refs/*")
        self.check(clone, self.want)

    def push(self, folder: Path) -> None:
        empty = self.repository.parent / "pushed.git"
        mine = folder / "mine.git"
        shutil.rmtree(empty, ignore_errors=True)
        self.git.run("init", "-q", "--bare", empty)
        self.git.run("clone", "-q", "--bare", "--shared", self.repository, mine)
        self.git.run("remote", "remove", "origin", cwd=mine)
        self.client.connect(mine, empty)
        self.client.push(mine, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        self.check(empty, object_ids(self.git, self.repository, "--branches", "--tags"))
        shutil.rmtree(empty)


def environment(home: Path) -> None:
    """Nobody's configuration."""
    (home / "gitconfig").write_text(CONFIG)
    os.environ.update(
        HOME=str(home), GIT_CONFIG_GLOBAL=str(home / "gitconfig"), GIT_CONFIG_NOSYSTEM="1"
    )


def attempt(trial: Trial, thorough: bool) -> None:
    """Every operation, in protocol v2 over the daemon; the clone also in the other ways."""
    trial.timed("mirror, v2, daemon", trial.mirror)
    trial.timed("depth 1, v2, daemon", trial.depth)
    trial.timed(f"{BEHIND} commits behind, v2, daemon", trial.fetch)
    trial.timed("push of everything, daemon", trial.push)
    if thorough:
        client = trial.client
        stdio = Client(client.git, 0, "stdio", client.programs, client.server)
        trial.client = stdio
        trial.timed("mirror, v0, stdio", trial.mirror)
        trial.client = client


def serve_and_try(source: Path, work: Path, scattered: bool, fsck: bool) -> None:
    """One repository from copy to verdict."""
    git = replace(installed_gits()[0], timeout=3600.0)
    served = work / "served"
    shutil.rmtree(served, ignore_errors=True)
    served.mkdir()
    repository = served / "project.git"
    copy(git, source, repository)
    if scattered:
        whole = repository.rename(work / "whole.git")
        scatter(git, whole, repository)
        shutil.rmtree(whole)
    counted = git.text("count-objects", "-v", cwd=repository).replace("\n", ", ")
    print(f"{source}: {len(refs(git, repository))} refs, {counted}", flush=True)
    options = ["--export-all", "--enable=receive-pack"]
    with running_server(gitserve_programs(), served, work / "log", options) as server:
        run_with(server, git, repository, work, fsck)


def run_with(server: Server, git: Git, repository: Path, work: Path, fsck: bool) -> None:
    """Every operation, then a look at the server."""
    client = Client(git, 2, "daemon", gitserve_programs(), server)
    attempt(Trial(client, repository, work, fsck), thorough=True)
    server.assert_unharmed()


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.real", description=__doc__)
    parser.add_argument("repositories", type=Path, nargs="+")
    parser.add_argument("--scatter", action="store_true", help="serve it as forty packs")
    parser.add_argument("--fsck", action="store_true", help="git fsck --full of every clone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitserve-real-") as work:
        environment(Path(work))
        for source in options.repositories:
            serve_and_try(source, Path(work), options.scatter, options.fsck)
    print("all well", file=sys.stderr)


if __name__ == "__main__":
    main()
