"""gitserve behind dulwich's API against dulwich itself, on one repository.

In: prepared repositories. Out: rounds of listing refs and of whole clones, for a repository on disk
and for one whose objects are in memory. Only the library that the server imports differs
(:mod:`benches.dropin_server`). Protocol version 0, which both speak.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from benches.peers import DULWICH, OURS, Peer, like_git_daemon
from benches.report import Measured
from benches.repositories import Repositories
from benches.run import Bench
from benches.workloads import REPEATED, SLOW_FOR_OTHERS, Recording, Workload

PLACES = ("disk", "memory")
LOADING = 300.0
"""Seconds for a server to read all objects into memory."""


def rows() -> list[str]:
    """What could be measured."""
    return [f"dulwich API, {what}, {place}" for place in PLACES for what in ("refs", "clone")]


def why_not(found: Repositories) -> str | None:
    """A reason to leave this out."""
    if importlib.util.find_spec("dulwich") is None:
        return "dulwich is not installed"
    if found.counted().get("in-pack", 0) > SLOW_FOR_OTHERS:
        return f"more than {SLOW_FOR_OTHERS} objects: minutes a clone, and gigabytes in memory"
    return None


def measure(
    bench: Bench, recording: Recording, wanted: Callable[[str], bool]
) -> Iterator[Measured]:
    """All rounds, first on disk, then in memory."""
    plain = bench.found.plain
    for place in PLACES:
        refs, clone = f"dulwich API, refs, {place}", f"dulwich API, clone, {place}"
        todo = []
        if wanted(refs):
            listing = lambda: [recording.record(plain, 0, "ls-remote", "-q", "URL")]  # noqa: E731
            file, _ = recording.file("dulwich API refs", listing)
            todo.append(Workload(refs, REPEATED, 0, file, 1, 1, 20, (DULWICH, OURS)))
        if wanted(clone):
            file, _ = recording.file("dulwich API clone", lambda: [recording.clone(plain, 0)])
            # One, and none before it: these take long.
            todo.append(Workload(clone, "once", 0, file, 1, 1, 1, (DULWICH, OURS)))
        peers = {
            library: Peer(library, like_git_daemon(command(library, plain.name, place)), LOADING)
            for library in (DULWICH, OURS)
        }
        for workload in todo:
            yield from replace(bench, peers=peers).workload(workload)


def command(library: str, repository: str, place: str) -> list[str]:
    """How the server is started."""
    words = [sys.executable, "-m", "benches.dropin_server", f"--library={library}"]
    words.append(f"--repository={repository}")
    return [*words, "--memory"] if place == "memory" else words
