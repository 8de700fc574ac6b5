"""Small fetches while clones run: ``python -m benches mixed``.

In: options as of ``python -m benches``, and how many clones. Out: a line a round and server: how
long fetches of 20 commits take alone, and while so many clones of the same repository are under
way, each begun anew when it ends; and the CPU time that the server spent meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from benches import peers
from benches.options import build_loadgen, common, source_of, source_options
from benches.repositories import prepare
from benches.servers import Daemon
from benches.workloads import DIFFERENT, REPEATED, Recording, Workload, reads

ENDLESS = 1_000_000
"""Clones, more than are ever made: they are stopped when the fetches are done."""


def replay(
    loadgen: Path, daemon: Daemon, workload: Workload, connections: int, count: int
) -> list[str]:
    """A command of the load generator."""
    words = [str(loadgen), "replay", *map(str, daemon.address), str(workload.file)]
    return [*words, str(connections), str(count), "0", "any", "600", "0"]


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
    daemon.at_rest()
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


def main(words: list[str]) -> None:
    """Both servers, in turns."""
    parser = argparse.ArgumentParser(prog="python -m benches mixed", description=__doc__)
    common(parser)
    source_options(parser)
    parser.add_argument("--clones", type=int, default=8)
    parser.add_argument("--fetches", type=int, default=100)
    options = parser.parse_args(words)
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    loadgen = options.loadgen or build_loadgen(work)
    found = prepare(options.git, work, source_of(options))
    theirs, ours = peers.git_daemon(options.git), peers.gitserve(options.gitserve)
    recording = Recording(found, theirs, work)
    wanted = (f"fetch, 20 behind, {DIFFERENT}", f"clone, no bitmap, {REPEATED}")
    small, large = reads(recording, wanted.__contains__)
    with theirs.serving(found.base, work) as one, ours.serving(found.base, work) as other:
        for _ in range(options.rounds):
            for daemon in (one, other):
                print(measure(loadgen, daemon, small, large, options.clones, options.fetches))
                daemon.settle(daemon.at_rest())
