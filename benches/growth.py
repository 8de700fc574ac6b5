"""How costs grow: ``python -m benches growth``.

In: sizes. Out: what each operation costs at each size of history, at each number of refs, and with
each number of clients; a table, JSON and plots. A fetch of 20 commits should cost the same in a
repository of ten thousand commits and of a million.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benches import machine, peers, plots, pushes
from benches.gits import git
from benches.options import build_loadgen, common
from benches.peers import GIT, OURS
from benches.report import Measured, middle, undisturbed
from benches.repositories import Source, prepare
from benches.run import Bench
from benches.targets import machine_line
from benches.workloads import DIFFERENT, REPEATED, Recording, Workload, listing, reads

COMMITS, REFS, CLIENTS = "commits", "refs", "clients"
READS = (
    f"fetch, nothing new, {REPEATED}",
    f"fetch, 20 behind, {DIFFERENT}",
    f"clone, depth 1, {DIFFERENT}",
    f"clone, no bitmap, {DIFFERENT}",
)
LONGEST = 60.0
"""Seconds that one request may take git daemon. Where the two sizes before say that it takes
longer, it is left out, and the table shows a dash."""
PLOTTED = 1e-3
"""Milliseconds that a tick of the kernel's clock cannot show."""


@dataclass(frozen=True, slots=True)
class Point:
    """One operation at one size on one server."""

    axis: str
    size: int
    operation: str
    server: str
    per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    memory: int
    errors: int


def numbers(text: str) -> list[int]:
    """``1000,10000``."""
    return [int(word) for word in text.split(",") if word]


def point(axis: str, size: int, operation: str, rounds: Sequence[Measured]) -> Point:
    """Medians."""
    return Point(
        axis,
        size,
        operation,
        rounds[0].server,
        per_second=middle(rounds, "per_second"),
        cpu_ms=middle(rounds, "cpu_ms"),
        p50_ms=middle(rounds, "p50_ms"),
        p99_ms=middle(rounds, "p99_ms"),
        memory=int(middle(rounds, "memory")),
        errors=sum(one.errors for one in rounds),
    )


def servers_for(size: int, smaller: Sequence[Point]) -> tuple[str, ...]:
    """Both, unless git daemon would take too long.

    ``smaller``: what was measured at smaller sizes, the nearest last.
    """
    theirs = [one for one in smaller if one.server == GIT]
    if len(theirs) < 2:
        return GIT, OURS
    before, last = theirs[-2:]
    slope = (last.p50_ms - before.p50_ms) / (last.size - before.size)
    expected = last.p50_ms + slope * (size - last.size)
    return (OURS,) if expected > LONGEST * 1000 else (GIT, OURS)


def points(
    bench: Bench, axis: str, size: int, workload: Workload, smaller: Sequence[Point] = ()
) -> Iterator[Point]:
    """One operation, on both servers."""
    asked = servers_for(size, smaller)
    measured = list(bench.workload(replace(workload, peers=asked)))
    for server in asked:
        rounds = undisturbed([one for one in measured if one.server == server])
        operation = workload.name.replace(f", {size} refs", "")
        if rounds:
            yield point(axis, size, operation, rounds)


def bench_on(options: argparse.Namespace, loadgen: Path, commits: int) -> Bench:
    """On a repository with so many commits."""
    work: Path = options.work.resolve()
    found = prepare(options.git, work, Source(size=commits))
    there = {GIT: peers.git_daemon(options.git), OURS: peers.gitserve(options.gitserve)}
    return Bench(
        loadgen, found, there, work, options.rounds, options.budget, options.scale, options.seconds
    )


def measure(options: argparse.Namespace, loadgen: Path) -> Iterator[Point]:
    """Along each axis."""
    found: dict[str, list[Point]] = {}
    for commits in sorted(numbers(options.commits)):
        bench = bench_on(options, loadgen, commits)
        recording = Recording(bench.found, bench.peers[GIT], bench.logs)
        for workload in reads(recording, lambda name: name in READS):
            smaller = found.setdefault(workload.name, [])
            new = list(points(bench, COMMITS, commits, workload, smaller))
            smaller += new
            yield from new
        one = pushes.one_commit(recording, 10, options.scale)
        for pushed in points(bench, COMMITS, commits, one):
            yield replace(pushed, operation="push of one commit")
    bench = bench_on(options, loadgen, min(numbers(options.commits)))
    recording = Recording(bench.found, bench.peers[GIT], bench.logs)
    for refs in numbers(options.refs):
        yield from points(bench, REFS, refs, listing(recording, refs, REPEATED, 2))
        yield from points(bench, REFS, refs, pushes.one_commit(recording, refs, options.scale))
    crowded = [
        *reads(recording, lambda name: name in READS[:3]),
        listing(recording, 1000, REPEATED, 2),
    ]
    for count in numbers(options.clients):
        for workload in crowded:
            requests = max(workload.requests, 2 * count)
            at_once = replace(workload, connections=count, requests=requests)
            yield from points(bench, CLIENTS, count, at_once)


def table(found: Sequence[Point]) -> str:
    """A line for each operation and server; a column for each size."""
    lines = []
    for axis in dict.fromkeys(one.axis for one in found):
        mine = [one for one in found if one.axis == axis]
        sizes = sorted({one.size for one in mine})
        lines.append(f"{'CPU ms / p50 ms, by ' + axis:36}" + "".join(f"{n:>20}" for n in sizes))
        for operation, server in dict.fromkeys((one.operation, one.server) for one in mine):
            cells = []
            for size in sizes:
                here = [
                    p for p in mine if (p.operation, p.server, p.size) == (operation, server, size)
                ]
                cells.append(f"{here[0].cpu_ms:.2f} / {here[0].p50_ms:.2f}" if here else "-")
            lines.append(f"{operation:24}{server:12}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def page(where: str, command: str, text: str) -> str:
    """The table for people, and where it comes from."""
    return f"""# Growth

What a request costs as the repository and the number of clients grow: the server's CPU time and
what a client waits, half of them longer, in milliseconds. Each size once; `growth.json` has more.
Where there is a dash, one request would have taken git daemon more than {LONGEST:.0f} seconds.

    {command}

{where}.

```
{text}
```
"""


def plot(found: Sequence[Point], axis: str) -> str:
    """The wait at each size."""
    mine = [one for one in found if one.axis == axis and one.p50_ms > PLOTTED]
    drawn = []
    for operation, server in dict.fromkeys((one.operation, one.server) for one in mine):
        here = [one for one in mine if (one.operation, one.server) == (operation, server)]
        coordinates = tuple((float(one.size), one.p50_ms) for one in here)
        drawn.append(plots.Line(f"{operation}, {server}", coordinates))
    return plots.lines(f"What a request takes, by {axis}", axis, "p50, ms", drawn)


def main(words: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches growth", description=__doc__)
    common(parser)
    parser.add_argument("--page", type=Path, metavar="FILE", help="writes the table there")
    parser.add_argument("--commits", default="1000,10000,100000")
    parser.add_argument("--refs", default="1000,10000,100000")
    parser.add_argument("--clients", default="1,4,16,64")
    options = parser.parse_args(words)
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    loadgen = options.loadgen or build_loadgen(work)
    found = []
    for one in measure(options, loadgen):
        print(
            f"{one.axis} {one.size}: {one.operation}, {one.server}: {one.p50_ms:.2f} ms", flush=True
        )
        found.append(one)
    print("\n" + table(found))
    command = shlex.join(
        ["python", "-m", "benches", "growth", *map(machine.without_folders, words)]
    )
    path: Path = options.json or work / "growth.json"
    version = git(options.git, "--version", cwd=work).decode().strip()
    about = machine.described() | {"git": version, "command": command}
    content = {"about": about, "points": [*map(asdict, found)]}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nAll points: {path}")
    if options.page:
        options.page.write_text(page(machine_line(about), command, table(found)))
    for axis in dict.fromkeys(one.axis for one in found) if options.plots else ():
        plots.write(options.plots / f"growth-{axis}.svg", plot(found, axis))
