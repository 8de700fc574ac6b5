"""Carries out workloads: starts servers, takes turns, counts.

In: workloads and peers. Out: what was measured, a record for each round. Rounds of the servers
alternate, so that what else the machine does falls on all; while one is measured the others have
nothing to do, in the background either. A round that the host disturbed is measured again.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benches import peers as known
from benches.host import Neighbours
from benches.peers import LIMIT, Peer
from benches.report import Measured
from benches.repositories import Repositories
from benches.servers import Daemon
from benches.workloads import COLD, DIFFERENT, Workload

FORGETFUL = {known.GIT, LIMIT}
"""Each of their requests begins from nothing: it makes no difference what was asked before."""
LEARNS = {known.OURS, known.CACHED}
WARMING = 120
"""Seconds for the requests that come before those that are timed. Of six million objects each
worker's first clone takes a quarter of a minute."""
PATIENCE = 900
"""Seconds for one round of one server; who takes longer has failed."""
AGAIN = 3
"""How often a round that was disturbed is measured again at most."""
LONGEST = 6
"""And not when so many times the budget of the workload have gone by."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rounds have in common."""

    loadgen: Path
    found: Repositories
    peers: dict[str, Peer]
    logs: Path
    rounds: int
    budget: float
    """Seconds, after which no further round of a workload is begun."""
    scale: float
    seconds: int
    """After so many no further request of a round is begun: slow servers make fewer."""
    patience: float = 0.0
    """Seconds to wait for a quiet host, before a workload."""
    neighbours: Neighbours = field(default_factory=Neighbours)

    def workload(self, workload: Workload) -> Iterator[Measured]:
        """All rounds of one workload."""
        workload = self.scaled(workload)
        names = [name for name in workload.peers if name in self.peers]
        self.neighbours.wait(self.patience)
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            running: dict[str, Daemon] = {}
            if workload.fresh is None:
                if LIMIT in workload.peers:
                    names.append(LIMIT)
                if workload.mode != COLD:
                    for name in names:
                        peer = self.limit(workload) if name == LIMIT else self.peers[name]
                        serving = peer.serving(self.found.base, self.logs)
                        running[name] = stack.enter_context(serving)
            failed: set[str] = set()
            for number in range(self.rounds):
                if number and time.monotonic() - began > self.budget:
                    break
                for name in names:
                    if name in failed:
                        continue
                    measured = self.round(workload, name, number, running.get(name))
                    yield measured
                    for _ in range(AGAIN):
                        late = time.monotonic() - began > LONGEST * self.budget
                        if not measured.is_disturbed or not measured.requests or late:
                            break
                        try:
                            measured = self.again(workload, name, number, running.get(name))
                        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                            # what was measured before is worth more than a better one
                            print(f"not measured again: {workload.row}, {name}: {error}")
                            break
                        yield measured
                    if measured.requests == 0:
                        failed.add(name)

    def scaled(self, workload: Workload) -> Workload:
        """With fewer requests, or more, unless they are what the workload is about."""
        if workload.fresh is not None or workload.requests == 1:
            return workload
        requests = max(workload.connections, round(workload.requests * self.scale))
        return replace(workload, requests=requests, least=workload.least * min(1, self.scale))

    def round(self, workload: Workload, name: str, number: int, daemon: Daemon | None) -> Measured:
        """One round of one server, started for it if it is not there."""
        if daemon is not None:
            return self.measure(workload, daemon, number)
        fresh = workload.fresh
        base = self.found.base if fresh is None else fresh(name)
        try:
            with self.peers[name].serving(base, self.logs) as started:
                measured = self.measure(workload, started, number)
            if fresh is not None and not measured.errors:
                workload.check(base)
        finally:
            if fresh is not None:
                shutil.rmtree(base, ignore_errors=True)
        return measured

    def again(self, workload: Workload, name: str, number: int, daemon: Daemon | None) -> Measured:
        """A round in place of one that was disturbed: of the same requests, which are not as hard
        as those of another."""
        if daemon is None or workload.mode != DIFFERENT or name in FORGETFUL:
            return self.round(workload, name, number, daemon)
        # it has answered these: another that has not takes its place
        with self.peers[name].serving(self.found.base, self.logs) as started:
            if number:
                self.warm(workload, started)
            return self.measure(workload, started, number)

    def measure(self, workload: Workload, daemon: Daemon, number: int) -> Measured:
        """Makes the requests, and counts what they cost."""
        idle = daemon.at_rest()
        first = 0 if workload.mode == COLD else workload.warm
        useful = daemon.name not in FORGETFUL and not number
        if useful or workload.fresh is not None:
            self.warm(workload, daemon)
        if workload.mode == DIFFERENT:
            # Not even another round has made these.
            first += number * workload.requests
            requests = max(1, min(workload.requests, workload.count - first))
            first = min(first, workload.count - requests)
            workload = replace(workload, requests=requests)
        daemon.settle(idle)
        daemon.quiet()
        daemon.peak = daemon.memory()
        before = daemon.cpu()
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = self.seconds
        least = min(workload.least, seconds)
        self.neighbours.begin()
        said = self.replay(workload, daemon, first, workload.requests, seconds, least)
        stolen = self.neighbours.stolen()
        client_after = resource.getrusage(resource.RUSAGE_CHILDREN)
        daemon.settle(idle)
        after = daemon.cpu()
        daemon.quiet()
        count = max(1, said["requests"])
        ours = client_after.ru_utime + client_after.ru_stime - client.ru_utime - client.ru_stime
        return Measured(
            workload.name,
            daemon.name,
            mode=workload.mode,
            version=workload.version,
            connections=workload.connections,
            cpu_ms=(after - before) / count * 1000,
            background_ms=(daemon.cpu() - after) / count * 1000,
            client_cpu_ms=ours / count * 1000,
            memory=daemon.used(),
            number=number,
            stolen=stolen,
            slowed=self.neighbours.slowed(),  # when the server has nothing to do any more
            **said,
        )

    def warm(self, workload: Workload, daemon: Daemon) -> None:
        """The requests that come before those that are timed."""
        if workload.warm:
            # who learns from them has to have seen them all
            seconds = WARMING if daemon.name in LEARNS else self.seconds
            self.replay(workload, daemon, 0, workload.warm, seconds)

    def replay(
        self,
        workload: Workload,
        daemon: Daemon,
        first: int,
        requests: int,
        seconds: int,
        least: float = 0.0,
    ) -> dict[str, Any]:
        """Runs the load generator; what it says. Lanes go to their end, however long it takes.

        ``least``: seconds in which it goes on, whatever ``requests`` says.
        """
        command = [str(self.loadgen), "replay", *map(str, daemon.address), str(workload.file)]
        order = "lanes" if workload.lanes else "any"
        command += [str(workload.connections), str(requests), str(first), order]
        command += [str(PATIENCE if workload.lanes else seconds), str(least)]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        if done.stderr:
            print(f"{workload.row}, {daemon.name}: {done.stderr.decode().strip()}")
        if done.returncode:
            raise RuntimeError(f"the load generator ended with {done.returncode}")
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def limit(self, workload: Workload) -> Peer:
        """The server that knows: the answers are git daemon's, kept for the next run."""
        answers = workload.file.with_suffix(".answers")
        if not answers.exists():
            making = answers.with_suffix(".making")
            with self.peers[known.GIT].serving(self.found.base, self.logs) as daemon:
                words = [str(self.loadgen), "answers", *map(str, daemon.address)]
                words += [str(workload.file), str(making)]
                subprocess.run(words, check=True, timeout=PATIENCE)
            index = making.with_name(making.name + ".index")
            index.rename(answers.with_name(answers.name + ".index"))
            making.rename(answers)
        return known.limit(self.loadgen, workload.file, answers)
