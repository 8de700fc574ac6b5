"""Small fetches while clones run: ``python -m benches.mixed``.

In: options as of ``python -m benches``, and how many clones. Out: a line a round and server: how
long fetches of 20 commits take alone, and while so many clones of the same repository are under
way, each begun anew when it ends; and the CPU time that the server spent meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benches import repositories, workloads
from benches.__main__ import ROOT, build_loadgen
from benches.servers import Daemon, running
from benches.workloads import Workload
from tests.support.history import HistoryShape

ENDLESS = 1_000_000
"""Clones, more than are ever made: they are stopped when the fetches are done."""


def replay(
    loadgen: Path, daemon: Daemon, workload: Workload, connections: int, count: int
) -> list[str]:
    """A command of the load generator."""
    file = workload.files[daemon.name]
    return [str(loadgen), *map(str, daemon.address), str(file), str(connections), str(count)]


def fetches(loadgen: Path, daemon: Daemon, workload: Workload, count: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds, one client at a time."""
    command = replay(loadgen, daemon, workload, 1, count)
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    said = json.loads(done.stdout)
    return said["p50_ms"], said["p99_ms"]


def measure(
    loadgen: Path, daemon: Daemon, small: Workload, large: Workload, clones: int, count: int
) -> str:
    """Both, one after the other."""
    alone = fetches(loadgen, daemon, small, count)
    with tempfile.TemporaryFile() as said:
        busy = subprocess.Popen(replay(loadgen, daemon, large, clones, ENDLESS), stdout=said)
        try:
            before = daemon.cpu()
            among = fetches(loadgen, daemon, small, count)
            cpu = daemon.cpu() - before
        finally:
            busy.terminate()
            busy.wait()
    return (
        f"{daemon.name:<12} alone p50 {alone[0]:8.1f} p99 {alone[1]:8.1f} ms;"
        f" among {clones} clones p50 {among[0]:8.1f} p99 {among[1]:8.1f} ms"
        f" ({among[1] / alone[1]:.1f}x), {cpu:.1f} s CPU"
    )


def main() -> None:
    """Both servers, in turns."""
    parser = argparse.ArgumentParser(prog="python -m benches.mixed", description=__doc__)
    parser.add_argument("--repo", type=Path, help="measure on a copy of this repository")
    parser.add_argument("--commits", type=int, default=5000)
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--clones", type=int, default=8)
    parser.add_argument("--fetches", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=ROOT / "bench-work")
    parser.add_argument("--git", default=shutil.which("git"))
    parser.add_argument("--gitserve", default=str(Path(sys.executable).with_name("gitserve")))
    options = parser.parse_args()
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    loadgen = build_loadgen(work)
    shape = HistoryShape(commits=options.commits, files=options.files)
    found = repositories.prepare(options.git, work, options.repo, shape)
    names = ["git daemon", "gitserve"]
    with (
        running(names[0], [options.git, "daemon"], found.base, work / "git-daemon.log") as theirs,
        running(names[1], [options.gitserve, "daemon"], found.base, work / "gitserve.log") as ours,
    ):
        recorded = workloads.record_all(options.git, found, theirs, names, 1.0)
        small = next(one for one in recorded if "20 behind" in one.name)
        large = next(one for one in recorded if "clone, no bitmap" in one.name)
        for _ in range(options.rounds):
            for daemon in (theirs, ours):
                print(measure(loadgen, daemon, small, large, options.clones, options.fetches))
                daemon.settle(1)


if __name__ == "__main__":
    main()
