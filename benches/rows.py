"""Every row that is wanted, on one repository.

In: options. Out: a table on the terminal, JSON, a plot, and what has changed since a stored run.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benches import aftermath, clients, dropin, machine, peers, plots, starting, upkeep
from benches import pushes as writing
from benches.gits import git
from benches.options import build_loadgen, common, source_of, source_options
from benches.peers import LIMIT
from benches.report import Measured, Results, compare, load, save, table
from benches.repositories import prepare
from benches.run import Bench
from benches.workloads import Recording, Workload, reads


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    common(parser)
    source_options(parser)
    parser.add_argument("--only", action="append", default=[], help="rows whose name has this")
    parser.add_argument("--skip", action="append", default=[], help="and not this")
    parser.add_argument(
        "--pushes", type=int, action="append", default=[], help="measure reads after so many"
    )
    parser.add_argument(
        "--prepare", action="store_true", help="only make what is kept between runs"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="before a row that is replayed, wait so long until others of the host take little",
    )
    parser.add_argument("--compare", type=Path, metavar="JSON", help="a stored result")
    return parser.parse_args(words)


@dataclass(slots=True)
class Taken:
    """What has been measured so far: written after every row, so that nothing is lost."""

    path: Path
    about: dict[str, Any]
    measured: list[Measured] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def take(self, what: str, rounds: Callable[[], Iterable[Measured]]) -> None:
        """Measures something, and shows it; a failure is told, and the others go on."""
        try:
            new = list(rounds())
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            print(f"FAILED: {what}: {error}", flush=True)
            self.failed.append(what)
            return
        if new:
            print(table(new, title=not self.measured), flush=True)
            self.measured.extend(new)
            save(self.path, self.measured, self.about | {"failed": self.failed})


def choice(options: argparse.Namespace) -> Callable[[str], bool]:
    """Which rows are wanted."""

    def wanted(name: str) -> bool:
        if any(word in name for word in options.skip):
            return False
        return not options.only or any(word in name for word in options.only)

    return wanted


def workloads(options: argparse.Namespace, recording: Recording) -> Iterator[Workload]:
    """All that is wanted of those that the load generator replays."""
    wanted = choice(options)
    yield from reads(recording, wanted)
    yield from writing.pushes(recording, wanted, options.scale)


def prepare_all(options: argparse.Namespace, bench: Bench, recording: Recording) -> None:
    """Copies, recordings, answers: what is kept between runs."""
    for workload in workloads(options, recording):
        if LIMIT in workload.peers:
            bench.limit(workload)
    if choice(options)(f"{clients.FETCH}, {clients.REAL}"):
        clients.client_behind(bench)


def measure(options: argparse.Namespace, bench: Bench, recording: Recording, taken: Taken) -> None:
    """Every row that is wanted, printed as it comes."""
    wanted = choice(options)
    for workload in workloads(options, recording):
        taken.take(workload.row, partial(bench.workload, workload))
    taken.take(starting.NAME, lambda: starting.measure(bench, options.gitserve, wanted))
    taken.take(clients.REAL, lambda: clients.real(bench, wanted))
    taken.take(upkeep.UPKEEP, lambda: upkeep.measure(bench, options.gitserve, wanted))
    for count in options.pushes or [1000]:
        taken.take(
            f"after {count} pushes",
            partial(aftermath.measure, bench, recording, count, wanted),
        )
    if any(map(wanted, dropin.rows())):
        reason = dropin.why_not(bench.found)
        if reason is None:
            taken.take("dulwich API", lambda: dropin.measure(bench, recording, wanted))
        else:
            print(f"not measured behind dulwich's API: {reason}")


def plot(measured: list[Measured], title: str) -> str:
    """The bars that matter: how many times git daemon's requests per second."""
    results = Results(measured)
    values = []
    for row, servers in results.by_row.items():
        for server in servers:
            ratios = results.ratios(row, server)
            if ratios is not None and ratios.speed and server != LIMIT:
                values.append(plots.Bar(row, server, ratios.speed))
    return plots.bars(title, values)


def run(words: list[str]) -> Path:
    """All of it, in order; where the JSON is."""
    options = arguments(words)
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    path: Path = options.json or work / "results.json"
    loadgen = options.loadgen or build_loadgen(work)
    found = prepare(options.git, work, source_of(options))
    there, missing = peers.available(options.git, options.gitserve, work, options.without)
    for name, reason in missing.items():
        print(f"not measured: {name}: {reason}")
    bench = Bench(
        loadgen,
        found,
        there,
        work,
        options.rounds,
        options.budget,
        options.scale,
        options.seconds,
        options.patience,
    )
    about = machine.described() | {
        "command": shlex.join(["python", "-m", "benches", *map(machine.without_folders, words)]),
        "repository": found.counted() | {"name": machine.shown(options.repo, found.base.name)},
        "git": git(options.git, "--version", cwd=work).decode().strip(),
        "not measured": missing,
        "rounds": options.rounds,
    }
    recording = Recording(bench.found, bench.peers[peers.GIT], bench.logs)
    if options.prepare:
        prepare_all(options, bench, recording)
        print(f"Ready: {found.base}")
        return path
    taken = Taken(path, about)
    measure(options, bench, recording, taken)
    print("\n" + table(taken.measured))
    print("\n".join(map(str, aftermath.leftovers(taken.measured))))
    print(f"\nAll rounds: {path}")
    if options.plots:
        svg = options.plots / f"{path.stem}.svg"
        plots.write(
            svg, plot(taken.measured, f"Requests per second, times git daemon's ({path.stem})")
        )
        print(f"Plot: {svg}")
    if options.compare:
        print("\n" + compare(load(options.compare), taken.measured))
    if taken.failed:
        raise SystemExit(f"failed: {'; '.join(taken.failed)}")
    return path
