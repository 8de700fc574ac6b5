"""What a forced command of ssh costs: a process started for one client, to its first byte.

In: the two programs and a repository. Out: rounds of ``upload-pack DIR``, each started anew, with
warm files: from the start to the first byte of the answer, and to the end when nothing is asked.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median, quantiles

from benches.conversations import FLUSH
from benches.gits import clean_environment
from benches.peers import GIT, OURS
from benches.report import Measured
from benches.run import Bench

NAME = "upload-pack DIR, start to first byte"
STDIO = "stdio"
STARTS = 20
"""In a round; before them a few that only warm up."""
WARMING = 3


def one(command: list[str], repository: Path) -> tuple[float, float, int]:
    """Seconds to the first byte and to the end, and how many bytes came."""
    environment = clean_environment() | {"GIT_PROTOCOL": "version=2"}
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, str(repository)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = os.read(process.stdout.fileno(), 1 << 16)
        first = time.perf_counter() - began
        process.stdin.write(FLUSH)
        process.stdin.close()
        said += process.stdout.read()
    if process.returncode or not said:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return first, time.perf_counter() - began, len(said)


def spent() -> float:
    """CPU seconds of all that was started and has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def starts(server: str, command: list[str], repository: Path, count: int) -> Measured:
    """One round."""
    for _ in range(min(WARMING, count)):
        one(command, repository)
    before, began = spent(), time.perf_counter()
    done = [one(command, repository) for _ in range(count)]
    took, cpu = time.perf_counter() - began, spent() - before
    firsts = [1000 * first for first, _, _ in done]
    whole = [1000 * end for _, end, _ in done]
    return Measured(
        NAME,
        server,
        count,
        0,
        took,
        sum(size for _, _, size in done),
        p50_ms=median(whole),
        p99_ms=quantiles(whole, n=100, method="inclusive")[98] if count > 1 else whole[0],
        first_p50_ms=median(firsts),
        first_p99_ms=quantiles(firsts, n=100, method="inclusive")[98] if count > 1 else firsts[0],
        cpu_ms=cpu / count * 1000,
        memory=0,
        mode=STDIO,
    )


def measure(bench: Bench, gitserve: str, wanted: Callable[[str], bool]) -> Iterator[Measured]:
    """git's and ours, in turns."""
    if not wanted(f"{NAME}, {STDIO}"):
        return
    count = max(2, round(STARTS * min(1.0, bench.scale)))
    for _ in range(bench.rounds):
        yield starts(GIT, [bench.found.git_path, "upload-pack"], bench.found.plain, count)
        yield starts(OURS, [gitserve, "upload-pack"], bench.found.plain, count)
