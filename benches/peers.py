"""Who is measured, how each is started, and why one is not.

In: options and a work folder. Out: peers, and the reasons for those that are missing. ``limit`` is
the load generator's own server: it knows the answers already.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benches.conversations import HOST
from benches.servers import Daemon, free_port, running

GIT, OURS, CACHED, LIMIT = "git daemon", "gitserve", "gitserve+cache", "limit"
DULWICH, JGIT, SYNCED = "dulwich", "jgit", "git daemon, fsync"
ORDER = (GIT, SYNCED, DULWICH, JGIT, OURS, CACHED, LIMIT)

JAVA_START = 30.0

SPEAKS = {DULWICH: {0}, JGIT: {0}}
"""Versions, where not both: JGit's as Debian has it is older than version 2."""

JARS = Path("/usr/share/java")
JGIT_NEEDS = ("org.eclipse.jgit.jar", "slf4j-api.jar", "javaewah.jar", "slf4j-nop.jar")
LIMIT_THREADS = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that can be started."""

    name: str
    command: Callable[[Path, int], list[str]]
    """For the folder that it serves and the port."""
    patience: float = 20.0

    def speaks(self, version: int) -> bool:
        return version in SPEAKS.get(self.name, {0, 2})

    @contextlib.contextmanager
    def serving(self, base: Path, logs: Path) -> Iterator[Daemon]:
        """Runs it."""
        port = free_port()
        log = logs / f"{self.name.replace(' ', '-')}.log"
        with running(self.name, self.command(base, port), port, log, self.patience) as daemon:
            yield daemon


def like_git_daemon(words: list[str]) -> Callable[[Path, int], list[str]]:
    """A command with git daemon's options."""

    def command(base: Path, port: int) -> list[str]:
        return [
            *words,
            "--export-all",
            "--enable=receive-pack",
            "--reuseaddr",
            f"--base-path={base}",
            f"--listen={HOST}",
            f"--port={port}",
        ]

    return command


def git_daemon(git_path: str) -> Peer:
    return Peer(GIT, like_git_daemon([git_path, "daemon"]))


def synced(git_path: str) -> Peer:
    """git daemon that brings everything to the disk before it says ok, as gitserve does."""
    return Peer(SYNCED, like_git_daemon([git_path, "-c", "core.fsync=all", "daemon"]))


def gitserve(path: str) -> Peer:
    return Peer(OURS, like_git_daemon([path, "daemon"]))


def with_cache(path: str, work: Path) -> Peer:
    """gitserve that remembers packs on disk, an option."""

    def command(base: Path, port: int) -> list[str]:
        cache = work / "pack-cache"
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(mode=0o700)
        return like_git_daemon([path, "daemon", f"--pack-cache={cache}"])(base, port)

    return Peer(CACHED, command)


def limit(loadgen: Path, conversations: Path, answers: Path) -> Peer:
    """Answers these conversations and no others."""

    def command(_: Path, port: int) -> list[str]:
        words = [str(loadgen), "limit", HOST, str(port), str(conversations), str(answers)]
        return [*words, str(LIMIT_THREADS)]

    return Peer(LIMIT, command)


def dulwich() -> Peer | str:
    """dulwich's own server classes over a folder, or why not."""
    if importlib.util.find_spec("dulwich") is None:
        return "not installed"
    words = [sys.executable, "-m", "benches.dropin_server", "--library=dulwich", "--folder"]
    return Peer(DULWICH, like_git_daemon(words))


def jgit(work: Path) -> Peer | str:
    """JGit's daemon, compiled for this run, or why not."""
    java, javac = shutil.which("java"), shutil.which("javac")
    if java is None or javac is None:
        return "no java and javac"
    if not (JARS / JGIT_NEEDS[0]).exists():
        return f"no {JARS / JGIT_NEEDS[0]} (Debian: libjgit-java)"
    jars = ":".join(str(JARS / jar) for jar in JGIT_NEEDS if (JARS / jar).exists())
    classes = work / "jgit"
    source = Path(__file__).with_name("jgit") / "Launcher.java"
    done = subprocess.run(
        [javac, "-cp", jars, "-d", str(classes), str(source)], capture_output=True, text=True
    )
    if done.returncode:
        return f"does not compile: {done.stderr[-500:]}"

    def command(base: Path, port: int) -> list[str]:
        return [java, "-cp", f"{jars}:{classes}", "Launcher", HOST, str(port), str(base)]

    return Peer(JGIT, command, JAVA_START)


def available(
    git_path: str, gitserve_path: str, work: Path, without: list[str]
) -> tuple[dict[str, Peer], dict[str, str]]:
    """All that can be measured here, and why the others cannot."""
    found = {GIT: git_daemon(git_path), OURS: gitserve(gitserve_path)}
    others: dict[str, Callable[[], Peer | str]] = {
        SYNCED: lambda: synced(git_path),
        CACHED: lambda: with_cache(gitserve_path, work),
        DULWICH: dulwich,
        JGIT: lambda: jgit(work),
    }
    missing = {}
    for name, make in others.items():
        peer = "left out by --without" if name in without else make()
        if isinstance(peer, str):
            missing[name] = peer
        else:
            found[name] = peer
    return found, missing
