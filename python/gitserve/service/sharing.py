"""How the requests of a process share what it has, when it does nothing but serve.

In: what an operator allows. Out: settings of the core. A library that is imported into somebody's
process does not come here: the allocator and its memory are not ours there.
"""

from __future__ import annotations

import os

from gitserve._core import give_back_memory, keep_freed_memory, limit_learning, share_out

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
