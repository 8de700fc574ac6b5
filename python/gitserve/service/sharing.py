"""How the requests of a process share what it has, when it does nothing but serve.

In: what an operator allows. Out: settings of the core. A library that is imported into somebody's
process does not come here: the allocator and its memory are not ours there.
"""

from __future__ import annotations

import os
from _thread import _local  # threading's, without the import
from contextlib import suppress

from gitserve._core import (
    give_back_memory,
    keep_freed_memory,
    large_requests,
    limit_learning,
    share_out,
)

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much of the machine's memory is ours."""


LEARNT_EACH = 384 << 20
"""Bytes for what the requests of one process leave behind, where there is enough memory."""

LEARNT_PART = 8
"""One part of so many of the memory is for that in all processes, or less."""

SPARE_SECONDS = 5.0
"""How long memory that requests gave back waits for others: a burst of requests has its heap at
hand, and a server at rest has none."""


def rest() -> None:
    """To be called every :data:`SPARE_SECONDS`: lets go of memory that nobody needed again."""
    give_back_memory()


def is_full() -> bool:
    """Do large requests wait to begin, because those that are under way hold all memory?"""
    _, waiting = large_requests()
    return waiting > 0


def serve_only() -> None:
    """This process serves, and does nothing else."""
    keep_freed_memory()


def share(*, memory: int, workers: int, max_waiting: int, learnt_memory: int | None = None) -> None:
    """What one of so many workers has for its large requests.

    ``memory``: bytes for all workers; 0: half of what there is. ``max_waiting``: large requests
    that may wait, over all workers; 0: any number. ``learnt_memory``: bytes of what they leave
    behind, over all workers, each of which learns for itself; None: :data:`LEARNT_EACH`, or less
    where that were more than a part of what there is.
    """
    each = max(1, (memory or available_memory() // 2) // workers)
    waiting = -(-max_waiting // workers) if max_waiting else None
    share_out(memory=each, waiting=waiting)
    if learnt_memory is None:
        learnt_memory = min(LEARNT_EACH * workers, available_memory() // LEARNT_PART)
    limit_learning(learnt_memory // workers)


def available_memory() -> int:
    """Bytes of the machine, or of the part of it that this process may use."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _LIMITS:
        try:
            with open(path, encoding="ascii") as file:
                found.append(int(file.read()))
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
    return min(found)


class Processors:
    """Where this process's requests are served.

    Of the threads of one process, the interpreter lets one run at a time. Where they are spread
    over processors, each hand-over wakes another one of these, which costs a small request a third
    more. So small ones are served on one processor, and whatever turns out to be more, with the
    threads that the core starts for it, and all programs, on any.
    """

    def __init__(self) -> None:
        self._all: set[int] = set()
        self.own: set[int] = set()
        """Where small ones are; empty: anywhere."""
        self._thread = _local()

    def stay_on(self, number: int, workers: int) -> None:
        """From now on, where there is a worker for each processor that the process may use;
        ``number``: which of the ``workers`` this is.

        Of fewer the kernel had better find the places: those of several daemons on one machine
        would all stay on its first processors, and nothing could move them.
        """
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if 1 < len(allowed) <= workers:
            self._all, self.own = allowed, {sorted(allowed)[number % len(allowed)]}

    def settle(self) -> None:
        """This thread serves, and begins anew."""
        if self.own and not getattr(self._thread, "settled", False):
            self._move(self.own)
            self._thread.settled = True

    def spread(self) -> None:
        """This thread has begun something that may take long, or starts others."""
        if getattr(self._thread, "settled", False):
            self._thread.settled = False
            self._move(self._all)

    @staticmethod
    def _move(where: set[int]) -> None:
        with suppress(OSError):  # the operator has taken processors away: the kernel knows better
            os.sched_setaffinity(0, where)


PROCESSORS = Processors()
"""Of this process; nothing happens before :meth:`Processors.stay_on`."""
