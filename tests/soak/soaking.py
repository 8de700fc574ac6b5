"""Clones, fetches and pushes over every road, while real git repacks and prunes the repository.

In: a folder, a git, how long. Out: how often everything was done, what failed, whether all that was
acknowledged is there. Only what nobody may fail is asked for: branches move forward, nothing is
deleted that somebody may just have been told of.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.client import Client
from tests.support.gits import Git, assert_sound, refs
from tests.support.history import HistoryShape
from tests.support.repositories import feed_history, new_bare
from tests.support.server import Server, gitserve_programs, http_programs, running_server

WORKERS = 2
SHAPE = HistoryShape(commits=300, files=80, lines=60)
MORE = HistoryShape(commits=2, files=2, lines=20, tag_every=0)

FORMS = (
    (),
    ("--no-tags", "--single-branch"),
    ("--depth=1",),
    ("--depth=20", "--no-single-branch"),
    ("--filter=blob:none",),
)
"""How clones are made."""

MAINTENANCE = (
    ("repack", "-adbq"),
    ("gc", "--quiet", "--prune=now"),
    ("multi-pack-index", "write", "--bitmap"),
    ("repack", "-dq"),
    ("pack-refs", "--all", "--prune"),
    ("commit-graph", "write", "--reachable"),
)
"""What operators' timers do."""

TROUBLE = ("Traceback", "panicked", "InternalError", "failed:")
"""In a server's log: its own fault."""


@dataclass
class Soak:
    """One run, and what came of it."""

    git: Git
    work: Path
    repository: Path
    clients: dict[str, Client]
    """By road."""
    seed: int
    over: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Refs that were pushed, and what to."""

    def run(self, seconds: float) -> None:
        """For so long, and until everybody is done."""
        threads = [self._thread(self._maintain)]
        for number, road in enumerate(sorted(self.clients)):
            rng = random.Random(f"{self.seed} {road}")
            threads += [self._thread(self._clone, road, rng), self._thread(self._fetch, road)]
            threads += [self._thread(self._push, road, 2 * number + nth) for nth in range(2)]
        for thread in threads:
            thread.start()
        self.over.wait(seconds)
        self.over.set()
        for thread in threads:
            thread.join()

    def _thread(self, actor: Callable[..., None], *arguments: object) -> threading.Thread:
        return threading.Thread(target=self._guarded, args=(actor, *arguments))

    def _guarded(self, actor: Callable[..., None], *arguments: object) -> None:
        try:
            actor(*arguments)
        except BaseException as error:
            self._failed("a bug of the test", error)
            raise

    def _failed(self, what: str, error: object) -> None:
        self.failures.append(f"{time.strftime('%H:%M:%S')} {what}: {error}")
        self.over.set()  # what led to it is still to be seen

    def _do(self, what: str, act: Callable[..., object], *arguments: object) -> bool:
        begun = time.monotonic()
        try:
            act(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it was, it is told
            self._failed(what, error)
            return False
        self.done[what] += 1
        self.slowest[what] = max(self.slowest.get(what, 0.0), time.monotonic() - begun)
        return True

    def _clone(self, road: str, rng: random.Random) -> None:
        client = self.clients[road]
        for nth in self._turns():
            form, to = FORMS[nth % len(FORMS)], self.work / f"clone-{road}.git"
            if not self._do(f"{road} clone", client.clone, self.repository, to, "--bare", *form):
                return
            if rng.random() < 0.5:
                self._connected(road, to)
            shutil.rmtree(to)

    def _fetch(self, road: str) -> None:
        client, to = self.clients[road], self.work / f"fetch-{road}.git"
        client.clone(self.repository, to, "--mirror")
        for nth in self._turns():
            if not self._do(f"{road} fetch", client.fetch, to, "--prune"):
                return
            if nth % 10 == 9:
                self._connected(road, to)
            self.over.wait(0.05)

    def _connected(self, road: str, clone: Path) -> None:
        self._do(f"{road} fsck", self._fsck, clone)

    def _fsck(self, clone: Path) -> None:
        self.git.run("fsck", "--connectivity-only", cwd=clone)

    def _push(self, road: str, who: int) -> None:
        client = self.clients[road]
        clone, branch = self.work / f"push-{who}.git", f"from-{who}"
        client.clone(self.repository, clone, "--bare")
        shape = HistoryShape(
            commits=MORE.commits, files=MORE.files, lines=MORE.lines, tag_every=0, branch=branch
        )
        onto = "refs/heads/main"
        for nth in self._turns():
            feed_history(self.git, clone, self.seed * 10_000 + who * 1_000 + nth, shape, onto)
            onto = f"refs/heads/{branch}"
            pushed = [onto]
            if nth % 7 == 6:
                tag = f"{branch}-{nth}"
                self.git.run("tag", "-a", "-m", "tag", tag, onto, cwd=clone)
                pushed.append(f"refs/tags/{tag}")
            atomic = ["--atomic"] if nth % 2 else []
            if not self._do(f"{road} push", client.push, clone, *atomic, *pushed):
                return
            now = refs(self.git, clone)
            self.acknowledged |= {ref: now[ref] for ref in pushed}

    def _maintain(self) -> None:
        rng = random.Random(self.seed)
        for _ in self._turns():
            words = rng.choice(MAINTENANCE)
            if not self._do(f"git {' '.join(words[:2])}", self._git, *words):
                return

    def _git(self, *words: str) -> None:
        self.git.run(*words, cwd=self.repository)

    def _turns(self) -> Iterator[int]:
        nth = 0
        while not self.over.is_set():
            yield nth
            nth += 1

    def check(self, servers: list[Server]) -> None:
        """Nothing failed, and all that was acknowledged is there, whole."""
        for server in servers:
            log = server.log_path.read_text(errors="replace").splitlines()
            self.failures += [line for line in log if any(word in line for word in TROUBLE)]
        found = refs(self.git, self.repository)
        for ref, value in self.acknowledged.items():
            if found.get(ref) != value:
                self.failures.append(f"{ref} is {found.get(ref)}, acknowledged was {value}")
        assert not self.failures, "\n".join(self.failures)
        assert_sound(self.git, self.repository)

    def told(self) -> str:
        """For a person."""
        return "\n".join(
            f"{self.done[what]:7} {what:24} slowest {self.slowest[what]:6.2f} s"
            for what in sorted(self.done)
        )


@contextlib.contextmanager
def soak(git: Git, work: Path, seed: int) -> Iterator[tuple[Soak, list[Server]]]:
    """Servers of all roads over one repository, with a folder of packs that they share."""
    base = work / "served"
    repository = base / "soaked.git"
    new_bare(git, repository)
    feed_history(git, repository, seed, SHAPE)
    git.run("config", "uploadpack.allowFilter", "true", cwd=repository)
    options = [
        "--export-all",
        "--enable=receive-pack",
        f"--workers={WORKERS}",
        f"--pack-cache={work / 'packs'}",
        "--pack-cache-size=64",
    ]
    programs = gitserve_programs()
    with (
        running_server(programs, base, work / "daemon.log", options) as daemon,
        running_server(http_programs(), base, work / "http.log", options) as web,
    ):
        web.scheme = "http"
        clients = {
            "git": Client(git, 2, "daemon", programs, daemon),
            "git v0": Client(git, 0, "daemon", programs, daemon),
            "http": Client(git, 2, "daemon", programs, web),
            "stdio": Client(git, 2, "stdio", programs, daemon),
        }
        yield Soak(git, work, repository, clients, seed), [daemon, web]
