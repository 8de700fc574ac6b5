"""What the host of a virtual machine takes from it while something is measured.

Of processors that several machines share, each sees as stolen what it wanted and others had
(``proc(5)``, "/proc/stat"); of caches and memory it sees nothing, and does the same work in twice
the time. So both are looked at: a round says more of the neighbours than of the servers when they
took more than :data:`MOST_STOLEN`, or when a small piece of work takes more than
:data:`MOST_SLOWED` times what it took at best, before the round or behind it.
"""

from __future__ import annotations

import os
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MOST_STOLEN = 0.05
"""A share of all processor time."""
MOST_SLOWED = 2.0
"""Times what the work took at best."""

_STEAL = 7
"""The place of stolen time among the kinds of it."""
_KINDS = 8
"""So many kinds make up all time; those behind them, guests', are in users' already."""
_WORK = bytes(nth * nth // 7 & 0xFF for nth in range(1 << 16)) * 4
_PROBES = 3
_AT_FIRST = 20
"""Probes before anything is measured: the best of them is what the rest is held against."""
_FEW = 5
"""Ticks that may be stolen from any round: of a tenth of a second one alone is a twentieth."""
_LOOK = 0.5
"""Seconds of work in which what others take is seen: they take nothing of a processor at rest."""
_PAUSE = 5.0
"""Seconds between two looks."""


def processor_time() -> tuple[int, int]:
    """Stolen and all, of all processors since the machine began, in ticks; nothing where the system
    does not tell."""
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return 0, 0
    kinds = [int(word) for word in line.split()[1:]][:_KINDS]
    return (kinds[_STEAL] if len(kinds) == _KINDS else 0), sum(kinds)


class Neighbours:
    """What they take, round by round."""

    def __init__(self) -> None:
        self._best = float("inf")
        self._before = (0, 0)
        self._took = 0.0
        for _ in range(_AT_FIRST):
            self._probe()
        self.begin()

    def wait(self, patience: float) -> None:
        """Returns when they take little, or after so many seconds."""
        until = time.monotonic() + patience
        while time.monotonic() < until and not self._is_quiet():
            time.sleep(max(0.0, min(_PAUSE, until - time.monotonic())))

    def _is_quiet(self) -> bool:
        self.begin()
        until = time.monotonic() + _LOOK
        while time.monotonic() < until:
            self._probe()
        return self.stolen() <= MOST_STOLEN and self.slowed() <= MOST_SLOWED

    def begin(self) -> None:
        """Before a round."""
        self._took = self._probe()
        self._before = processor_time()

    def stolen(self) -> float:
        """The share of the processors' time since then, 0.0 to 1.0; 0.0 where it is little."""
        (stolen, total), (stolen_before, total_before) = processor_time(), self._before
        lost = stolen - stolen_before
        return 0.0 if lost < _FEW else lost / max(1, total - total_before)

    def slowed(self) -> float:
        """How many times what it took at best the work takes now, or took before the round."""
        return max(self._took, self._probe()) / self._best

    def _probe(self) -> float:
        """Seconds for the work on all processors at once."""
        took = []
        processors = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(processors) as pool:
            for _ in range(_PROBES):
                began = time.perf_counter()
                list(pool.map(zlib.compress, [_WORK] * processors))
                took.append(time.perf_counter() - began)
        self._best = min(self._best, *took)
        return min(took)
