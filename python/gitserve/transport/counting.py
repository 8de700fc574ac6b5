"""How many clients all workers have together.

In: arrivals and departures in each process. Out: whether there is room for one more. One number a
process in shared memory, each written by its owner only, so that no lock crosses processes and a
process that dies takes its number with it.
"""

from __future__ import annotations

import mmap
import threading


class SharedCounts:
    """The numbers; made before the workers are."""

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, max(1, workers) * 8)
        self._counts = memoryview(self._memory).cast("Q")

    def total(self) -> int:
        """Clients of all workers. Each number is read whole, though not all at one moment."""
        return sum(self._counts)

    def set(self, worker: int, count: int) -> None:
        """By the worker itself, or by whoever buries it."""
        self._counts[worker] = count


class ConnectionCount:
    """One worker's part."""

    __slots__ = ("_counts", "_lock", "_maximum", "_mine", "_worker")

    def __init__(self, counts: SharedCounts, worker: int, maximum: int) -> None:
        """``maximum``: over all workers; 0 for no limit."""
        self._counts = counts
        self._worker = worker
        self._maximum = maximum
        self._mine = 0
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Counts one client more, unless there are too many."""
        with self._lock:
            if self._maximum and self._counts.total() >= self._maximum:
                return False
            self._mine += 1
            self._counts.set(self._worker, self._mine)
            return True

    def leave(self) -> None:
        """One client less."""
        with self._lock:
            self._mine -= 1
            self._counts.set(self._worker, self._mine)
