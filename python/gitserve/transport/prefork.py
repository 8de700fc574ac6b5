"""One process that watches, and the workers that serve: all on the same listening sockets.

In: a function that a worker runs. Out: that many workers, for as long as nobody says stop; one that
dies is replaced. The watcher has no threads, so that it may fork at any time, and does nothing a
client could disturb.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from gitserve.transport.log import Log

RESTART_PAUSE = 1.0
"""Seconds a worker must have lived to be replaced at once; one that dies at birth would otherwise
make us fork without end."""

CLEANUP_SECONDS = 6.0
"""Beyond the grace time, for a worker to put away what broken transfers left; then it is killed."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Work = Callable[[int, "StopSignal"], None]
"""Given the worker's number and when to stop; returns when it has."""


class StopSignal:
    """Tells a worker that its time is over: by a signal, or because nobody watches any more."""

    def __init__(self, wake: int, lifeline: int) -> None:
        self._wake = wake
        self._lifeline = lifeline

    def wait(self, seconds: float | None = None) -> bool:
        """Should the worker stop? Returns when it should, or after so many seconds."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._lifeline, select.POLLIN)
        return bool(poll.poll(None if seconds is None else seconds * 1000))


class Watcher:
    """Keeps the workers."""

    def __init__(self, workers: int, work: Work, log: Log, *, grace: float) -> None:
        self._work = work
        self._log = log
        self._grace = grace
        self._count = workers
        self._workers: dict[int, tuple[int, float]] = {}
        """Process id to worker number and time of birth."""
        self._due: list[tuple[float, int]] = []
        """When to replace which worker."""
        self._stops = 0
        self._stopped_by = 0

    def run(self, *, on_stop: Callable[[], None], on_death: Callable[[int], None]) -> int:
        """Until a signal says stop and the workers have ended. The first such signal.

        ``on_stop``: called once, first. ``on_death``: with the number of a worker that is gone.
        """
        wake, wake_write = os.pipe()
        lifeline, lifeline_write = os.pipe()
        for descriptor in (wake, wake_write):
            os.set_blocking(descriptor, False)
        old_wakeup = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        old = {sign: signal.signal(sign, self._on_stop) for sign in STOP_SIGNALS}
        old[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _on_child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        gc.collect()
        gc.freeze()  # what is there now is shared with the workers, if nothing touches it
        try:
            for number in range(self._count):
                self._fork(number, lifeline, lifeline_write)
            told = False
            deadline = 0.0
            while self._workers or self._due:
                if self._stops and not told:
                    told = True
                    on_stop()
                    self._due.clear()
                    self._signal_all(signal.SIGTERM)
                    deadline = time.monotonic() + self._grace + CLEANUP_SECONDS
                elif told and (self._stops > 1 or time.monotonic() > deadline):
                    self._signal_all(signal.SIGKILL)
                _sleep_until_woken(wake, 0.2 if told or self._due else None)
                self._bury(on_death, replace=not told)
                self._replace_due(lifeline, lifeline_write)
        finally:
            for sign, handler in old.items():
                signal.signal(sign, handler)
            signal.set_wakeup_fd(old_wakeup)
            for descriptor in (wake, wake_write, lifeline, lifeline_write):
                os.close(descriptor)
        return self._stopped_by

    def _on_stop(self, sign: int, _frame: FrameType | None) -> None:
        self._stopped_by = self._stopped_by or sign
        self._stops += 1

    def _signal_all(self, sign: signal.Signals) -> None:
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)

    def _fork(self, number: int, lifeline: int, lifeline_write: int) -> None:
        # a signal between the fork and the worker's own handlers would be lost
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            raise
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            self._workers[pid] = (number, time.monotonic())
            return
        status = 70
        try:
            os.close(lifeline_write)
            self._be_worker(number, lifeline)
            status = 0
        except BaseException as error:  # noqa: BLE001 - the last thing that this process does
            self._log.line(f"worker {number}: {type(error).__name__}: {error}")
        finally:
            os._exit(status)

    def _be_worker(self, number: int, lifeline: int) -> None:
        wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _ignore)
        # a terminal's Ctrl-C reaches every process; the watcher is the one who decides
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        self._work(number, StopSignal(wake, lifeline))

    def _bury(self, on_death: Callable[[int], None], *, replace: bool) -> None:
        while self._workers:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            entry = self._workers.pop(pid, None)
            if entry is None:
                continue
            number, born = entry
            on_death(number)
            if not replace:
                continue
            code = os.waitstatus_to_exitcode(status)
            self._log.line(f"worker {number} (process {pid}) ended with {code}; starting another")
            now = time.monotonic()
            self._due.append((max(now, born + RESTART_PAUSE), number))

    def _replace_due(self, lifeline: int, lifeline_write: int) -> None:
        now = time.monotonic()
        ripe = [number for due, number in self._due if due <= now]
        self._due = [(due, number) for due, number in self._due if due > now]
        for number in ripe:
            try:
                self._fork(number, lifeline, lifeline_write)
            except OSError as error:  # no more processes or memory: the other workers serve on
                self._log.line(f"worker {number} cannot be started: {error.strerror}; trying again")
                self._due.append((now + RESTART_PAUSE, number))


def _on_child(_sign: int, _frame: FrameType | None) -> None:
    """A handler has to be there for the wake-up pipe to be written."""


def _ignore(_sign: int, _frame: FrameType | None) -> None:
    """As :func:`_on_child`."""


def _sleep_until_woken(wake: int, seconds: float | None) -> None:
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.poll(None if seconds is None else seconds * 1000)
    with suppress(BlockingIOError):
        while os.read(wake, 512):
            pass
