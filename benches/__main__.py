"""Runs both servers side by side and prints what they do.

In: options. Out: a table on the terminal, JSON in a file. Rounds of the two servers alternate, so
that what else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benches import dropin, repositories, workloads
from benches.report import Measured, save, table
from benches.servers import Daemon, running
from benches.workloads import Workload
from tests.support.history import HistoryShape

ROOT = Path(__file__).resolve().parents[1]
THEIRS, OURS = "git daemon", "gitserve"


def build_loadgen(work: Path) -> Path:
    """Compiles the load generator."""
    target = work / "loadgen"
    manifest = ROOT / "benches/loadgen/Cargo.toml"
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", f"--manifest-path={manifest}"],
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        check=True,
    )
    return target / "release/loadgen"


def measure(loadgen: Path, workload: Workload, daemon: Daemon, idle: int) -> Measured:
    """One round of one workload."""
    daemon.settle(idle)
    daemon.peak = daemon.memory()
    before = daemon.cpu()
    command = [str(loadgen), *map(str, daemon.address), str(workload.files[daemon.name])]
    command += [str(workload.connections), str(workload.requests)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    daemon.settle(idle)
    said = json.loads(done.stdout)
    cpu = (daemon.cpu() - before) / max(1, said["requests"]) * 1000
    return Measured(workload.name, daemon.name, cpu_ms=cpu, memory=daemon.peak, **said)


def check_pushes(git_path: str, workload: Workload, repository: Path) -> None:
    """Every push must have landed: a server that only says ``ok`` is not fast."""
    listed = repositories.git(git_path, "for-each-ref", "refs/heads/bench-*", cwd=repository)
    if len(listed.splitlines()) != workload.requests:
        raise RuntimeError(
            f"{repository}: {len(listed.splitlines())} of {workload.requests} pushes"
        )
    repositories.git(git_path, "fsck", "--connectivity-only", "--no-dangling", cwd=repository)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--repo", type=Path, help="measure on a copy of this repository")
    parser.add_argument("--commits", type=int, default=5000, help="size of the generated one")
    parser.add_argument("--files", type=int, default=1500, help="files of the generated one")
    parser.add_argument("--rounds", type=int, default=3, help="the table shows medians")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies counts of requests")
    parser.add_argument("--only", action="append", default=[], help="workloads whose name has this")
    parser.add_argument("--work", type=Path, default=ROOT / "bench-work")
    parser.add_argument("--json", type=Path, help="default: results.json in the work folder")
    parser.add_argument("--git", default=shutil.which("git"), help="the git to compare with")
    parser.add_argument(
        "--gitserve", default=str(Path(sys.executable).with_name("gitserve")), help="ours"
    )
    return parser.parse_args()


def main() -> None:
    """Everything, in order."""
    options = arguments()
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    loadgen = build_loadgen(work)
    shape = HistoryShape(commits=options.commits, files=options.files)
    found = repositories.prepare(options.git, work, options.repo, shape)
    commands = {THEIRS: [options.git, "daemon"], OURS: [options.gitserve, "daemon"]}
    measured: list[Measured] = []

    def wanted(name: str) -> bool:
        return not options.only or any(word in name for word in options.only)

    with (
        running(THEIRS, commands[THEIRS], found.base, work / "git-daemon.log") as theirs,
        running(OURS, commands[OURS], found.base, work / "gitserve.log") as ours,
    ):
        daemons = (theirs, ours)
        idle = {daemon.name: len(daemon.processes()) for daemon in daemons}
        todo = workloads.record_all(options.git, found, theirs, list(commands), options.scale)
        for workload in todo:
            if not wanted(workload.name):
                continue
            for _ in range(options.rounds):
                for daemon in daemons:
                    copy = workload.writes_to[daemon.name] if workload.writes_to else None
                    if copy is not None:
                        shutil.rmtree(copy, ignore_errors=True)
                        shutil.copytree(found.plain, copy)
                    measured.append(measure(loadgen, workload, daemon, idle[daemon.name]))
                    if copy is not None:
                        check_pushes(options.git, workload, copy)
                        shutil.rmtree(copy)
            print(table([one for one in measured if one.workload == workload.name], list(commands)))
    against_dulwich: list[Measured] = []
    reason = dropin.why_not(options.git, found)
    if reason is not None:
        print(f"not measured against dulwich: {reason}")
    else:
        for todo, pair in dropin.pairs(options.git, found, options.scale, wanted):
            for workload in todo:
                for _ in range(options.rounds):
                    for daemon in pair:
                        idle_now = len(daemon.processes())
                        against_dulwich.append(measure(loadgen, workload, daemon, idle_now))
    if measured:
        print("\n" + table(measured, list(commands)))
    if against_dulwich:
        print("\n" + table(against_dulwich, [dropin.THEIRS, dropin.OURS]))
    measured += against_dulwich
    about = {
        "repository": found.base.name,
        "git": repositories.git(options.git, "--version", cwd=work).decode().strip(),
        "processors": os.cpu_count(),
        "rounds": options.rounds,
        "scale": options.scale,
    }
    path = options.json or work / "results.json"
    save(path, measured, about)
    print(f"\nAll rounds: {path}")


if __name__ == "__main__":
    main()
