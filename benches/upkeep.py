"""What it takes to keep a repository in order, and how small it becomes.

In: the two programs and a repository. Out: rounds of ``gitserve maintain``, and of what git has for
the same, each on a copy made anew: everything into one pack with new deltas, and what readers are
helped with (bitmaps, commit-graph with changed-path filters) for packs as they are.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benches.gits import clean_environment
from benches.peers import GIT, OURS
from benches.report import Measured
from benches.run import Bench
from benches.starting import spent
from benches.variants import linked_copy

UPKEEP = "upkeep"
FULL = "maintain --full"
"""All of it packed anew."""
HELPS = "maintain, bitmaps and commit-graph"
"""Of one pack that stays."""
REPACK = ("repack", "-q", "-a", "-d", "-f", "--window=10", "--depth=50")
MIDX = ("multi-pack-index", "write", "--bitmap", "--no-progress")
GRAPH = ("commit-graph", "write", "--reachable", "--changed-paths", "--no-progress")


def rows(git: str, gitserve: str) -> dict[str, dict[str, list[list[str]]]]:
    """For each row and server the programs that are run one after the other, in the repository."""
    maintain = [gitserve, "maintain", "--quiet"]
    return {
        FULL: {GIT: [[git, *REPACK]], OURS: [[*maintain, "--full", "."]]},
        HELPS: {GIT: [[git, *MIDX], [git, *GRAPH]], OURS: [[*maintain, "."]]},
    }


def one(row: str, server: str, commands: list[list[str]], repository: Path) -> Measured:
    """One round. The bytes are those of the packs that are there then."""
    began, before = time.perf_counter(), spent()
    for command in commands:
        subprocess.run(command, check=True, cwd=repository, env=clean_environment())
    cpu_ms = (spent() - before) * 1000
    took = time.perf_counter() - began
    size = sum(pack.stat().st_size for pack in (repository / "objects/pack").glob("*.pack"))
    ms = took * 1000
    return Measured(row, server, 1, 0, took, size, ms, ms, ms, ms, cpu_ms, 0, mode=UPKEEP)


def measure(bench: Bench, gitserve: str, wanted: Callable[[str], bool]) -> Iterator[Measured]:
    """git's and ours, in turns."""
    for row, servers in rows(bench.found.git_path, gitserve).items():
        if not wanted(f"{row}, {UPKEEP}"):
            continue
        until = time.monotonic() + bench.budget
        for nth in range(bench.rounds):
            if nth and time.monotonic() > until:
                break
            for server, commands in servers.items():
                copy = bench.found.base / "round-upkeep.git"
                shutil.rmtree(copy, ignore_errors=True)
                linked_copy(bench.found.plain, copy)
                try:
                    yield one(row, server, commands, copy)
                finally:
                    shutil.rmtree(copy, ignore_errors=True)
