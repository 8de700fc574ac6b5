"""Real ``git clone`` and ``git fetch``, timed from start to end.

In: peers and repositories. Out: what a user waits for, most of it the client's own work: indexing a
pack, which no server can spare it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benches.gits import git
from benches.peers import CACHED, DULWICH, GIT, JGIT, OURS
from benches.report import Measured
from benches.run import Bench
from benches.servers import Daemon
from benches.variants import linked_copy
from benches.workloads import BEHIND, SLOW_FOR_OTHERS

REAL = "real git"
FETCH = "git fetch, 20 behind"
QUIET = ("-c", "maintenance.auto=false", "-c", "gc.auto=0")


def client_behind(bench: Bench) -> Path:
    """A clone that lacks the newest commits, made once."""
    found = bench.found
    path = found.base / "client-behind" / "client.git"
    if not path.exists():
        line = found.first_parents(BEHIND + 1)
        making = path.with_name("making.git")
        shutil.rmtree(making, ignore_errors=True)
        making.parent.mkdir(exist_ok=True)
        git(found.git_path, "init", "-q", "--bare", making, cwd=found.base)
        url = f"file://{found.plain}"
        git(found.git_path, *QUIET, "fetch", "-q", "--no-tags", url, line[-1], cwd=making)
        git(found.git_path, "update-ref", "refs/heads/old", line[-1], cwd=making)
        making.rename(path)
    return path


def commands(bench: Bench) -> dict[str, Callable[[Path, str], object]]:
    """What is run in an empty folder, with a URL."""
    found = bench.found
    branch, _ = found.head()

    def clone(*how: str) -> Callable[[Path, str], object]:
        return lambda folder, url: git(
            found.git_path, *QUIET, "clone", "-q", "--bare", *how, url, "new.git", cwd=folder
        )

    def fetch(folder: Path, url: str) -> object:
        words = ("-C", "client.git", *QUIET, "fetch", "-q", url, f"{branch}:refs/heads/new")
        return git(found.git_path, *words, cwd=folder)

    return {
        FETCH: fetch,
        "git clone --depth=1": clone("--depth=1"),
        "git clone": clone(),
    }


def measure(
    bench: Bench, name: str, daemon: Daemon, run: Callable[[Path, str], object]
) -> Measured:
    """One run of one command."""
    found = bench.found
    folder = found.base / "client"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if name == FETCH:
        linked_copy(client_behind(bench), folder / "client.git")
    idle = daemon.at_rest()
    daemon.quiet()
    daemon.peak = daemon.memory()
    before = daemon.cpu()
    began = time.perf_counter()
    run(folder, f"git://{daemon.address[0]}:{daemon.port}{found.served(found.plain)}")
    took = time.perf_counter() - began
    daemon.settle(idle)
    cpu = (daemon.cpu() - before) * 1000
    shutil.rmtree(folder)
    wait = took * 1000
    return Measured(
        name, daemon.name, 1, 0, took, 0, wait, wait, 0, 0, cpu, daemon.used(), mode=REAL
    )


def real(bench: Bench, wanted: Callable[[str], bool]) -> Iterator[Measured]:
    """Every command on every server, in turns."""
    todo = {name: run for name, run in commands(bench).items() if wanted(f"{name}, {REAL}")}
    if not todo:
        return
    slow = bench.found.counted().get("in-pack", 0) > SLOW_FOR_OTHERS
    names = (GIT, OURS, CACHED) if slow else (GIT, DULWICH, JGIT, OURS, CACHED)
    with ExitStack() as stack:
        daemons = [
            stack.enter_context(bench.peers[name].serving(bench.found.base, bench.logs))
            for name in names
            if name in bench.peers
        ]
        for name, run in todo.items():
            began = time.monotonic()
            for number in range(bench.rounds):
                if number and time.monotonic() - began > bench.budget:
                    break
                for daemon in daemons:
                    yield measure(bench, name, daemon, run)
