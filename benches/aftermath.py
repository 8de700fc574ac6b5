"""Reads of what a thousand small pushes left, against reads of the same content packed anew.

In: how many pushes. Out: rows before and after ``git repack -a -d`` and ``git pack-refs``, for each
server with its own leavings: small packs, loose objects, loose refs, rolled up or not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from benches import conversations, pushes
from benches.conversations import Conversation
from benches.gits import git
from benches.peers import GIT, OURS
from benches.report import Measured, Results, middle
from benches.run import Bench
from benches.servers import Daemon
from benches.variants import linked_copy
from benches.workloads import BEHIND, DIFFERENT, HAVES, REPEATED, WARM, Recording, Workload

LANES = 6
PATH = "/pushed.git"
MOST_FOR_GIT = 2000
"""Pushes that git daemon is made to take; at some 30 a second, more take minutes."""
ROLL_UP = 60.0
"""Seconds that a server has to tidy up in before it is read from."""


@dataclass(frozen=True, slots=True)
class Leavings:
    """The pushes, and what is asked afterwards."""

    count: int
    pushing: Workload
    reading: tuple[Workload, ...]

    @property
    def name(self) -> str:
        return f"after {self.count} pushes"


def plan(recording: Recording, count: int) -> Leavings:
    """Conversations for so many pushes, and for clients that come then."""
    found = recording.found
    lanes = min(LANES, count)
    each = max(1, count // lanes)
    branches = [f"refs/heads/bench/{lane:03}" for lane in range(lanes)]
    said, expected = pushes.chains(found, [PATH] * lanes, branches, each)
    # A lane's commits are every so many of the pushes.
    _, tip = found.head()
    commits = [tip, *(pushed_id(one) for one in said[::lanes])]
    late = []
    for at in range(len(commits) - 1, min(BEHIND, len(commits) - 2), -1):
        end = max(1, at - BEHIND + 1)
        had = commits[max(0, end - HAVES) : end]
        late.append(conversations.fetch(PATH, [commits[at]], had[::-1]))
    tips = sorted(expected[PATH.strip("/")].values())
    whole = [conversations.fetch(PATH, [tip, *tips], [])]
    refs = conversations.greeting(b"git-upload-pack", PATH, b"\0version=2\0")
    listing = [Conversation((refs, LIST), conversations.FLUSH)]
    peers = (GIT, OURS) if count <= MOST_FOR_GIT else (OURS,)
    name = f"after {count} pushes"

    def reading(
        what: str, mode: str, made: list[Conversation], at_once: int, many: int
    ) -> Workload:
        file, there = recording.file(f"{name} {what}", lambda: made)
        asked = min(many, max(1, there - WARM)) if mode == DIFFERENT else many
        return Workload(what, mode, 2, file, there, at_once, asked, peers)

    file, there = recording.file(f"{name} by {lanes} lanes", lambda: said)
    pushing = Workload(
        f"{count} pushes in a row", pushes.PUSH, 0, file, there, lanes, there, peers, True
    )
    return Leavings(
        count,
        pushing,
        (
            reading("ls-refs", REPEATED, listing, LANES, 400),
            reading("fetch, 20 behind", DIFFERENT, late, 4, 64),
            # more than a few: each worker answers its first ones slower
            reading("clone", REPEATED, whole, 1, 8),
        ),
    )


LIST = b"".join(
    [
        conversations.pkt(b"command=ls-refs\n"),
        conversations.pkt(b"agent=bench"),
        conversations.pkt(b"object-format=sha1"),
        b"0001",
        conversations.pkt(b"peel\n"),
        conversations.pkt(b"symrefs\n"),
        conversations.FLUSH,
    ]
)


def pushed_id(said: Conversation) -> str:
    """The commit that a push brings."""
    return said.turns[1][4:].split(b" ", 2)[1].decode()


def measure(
    bench: Bench, recording: Recording, count: int, wanted: Callable[[str], bool]
) -> Iterator[Measured]:
    """For each server: pushes, reads, packing, reads."""
    if wanted(f"after {count} pushes"):
        leavings = plan(recording, count)
        for name in leavings.pushing.peers:
            yield from one_server(bench, leavings, name)


def one_server(bench: Bench, leavings: Leavings, name: str) -> Iterator[Measured]:
    """One round of everything."""
    base = bench.found.base / f"round-{name.replace(' ', '-')}"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    repository = linked_copy(bench.found.plain, base / PATH.strip("/"))
    try:
        bench.neighbours.wait(bench.patience)
        with bench.peers[name].serving(base, bench.logs) as daemon:
            yield bench.measure(leavings.pushing, daemon, 1)
            daemon.quiet(ROLL_UP)
            yield from reads(bench, leavings, daemon, leavings.name)
        repack(bench, repository)
        with bench.peers[name].serving(base, bench.logs) as daemon:
            yield from reads(bench, leavings, daemon, f"{leavings.name}, packed anew")
    finally:
        shutil.rmtree(base, ignore_errors=True)


def repack(bench: Bench, repository: Path) -> None:
    """As fresh as it can be."""
    # git may just be doing so itself.
    with suppress(FileNotFoundError):
        (repository / "gc.pid").unlink()
    quietly = ("-c", "repack.writeBitmaps=false")
    git(bench.found.git_path, *quietly, "repack", "-q", "-a", "-d", cwd=repository)
    git(bench.found.git_path, "pack-refs", "--all", cwd=repository)


def reads(bench: Bench, leavings: Leavings, daemon: Daemon, name: str) -> Iterator[Measured]:
    """All of them, on a running server."""
    for workload in leavings.reading:
        named = replace(workload, name=f"{name}: {workload.name}")
        yield bench.measure(named, daemon, 0)


@dataclass(frozen=True, slots=True)
class Leftover:
    """What reading costs after the pushes, in what the same content costs packed anew."""

    row: str
    server: str
    cpu: float
    wait: float

    def __str__(self) -> str:
        return (
            f"{self.row}, {self.server}: {self.cpu:.2f} times the CPU and {self.wait:.2f} times"
            " the wait of the same content packed anew"
        )


def leftovers(measured: list[Measured]) -> Iterator[Leftover]:
    """For every row that was measured both ways."""
    results = Results(measured)
    for name, servers in results.by_row.items():
        if not name.startswith("after ") or "packed anew" in name:
            continue
        head, _, what = name.partition(": ")
        packed = results.by_row.get(f"{head}, packed anew: {what}", {})
        for server, rounds in servers.items():
            if server in packed and middle(packed[server], "cpu_ms"):
                cpu = middle(rounds, "cpu_ms") / middle(packed[server], "cpu_ms")
                wait = middle(rounds, "p50_ms") / max(0.001, middle(packed[server], "p50_ms"))
                yield Leftover(name, server, cpu, wait)
