"""A server that runs, and what it costs: CPU and memory of the whole tree of processes.

In: a command line. Out: a running daemon, its CPU seconds so far (children that ended included) and
the most anonymous memory seen, with what processes share counted once. Reads ``/proc``, so it needs
Linux. Mapped files do not count: they are the page cache, which all servers share.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benches.conversations import HOST

TICKS = os.sysconf("SC_CLK_TCK")
START_TIMEOUT = 20.0
SETTLE_TIMEOUT = 10.0
QUIET_TIMEOUT = 60.0
"""What a clone of millions of objects leaves to do in the background takes longer than that."""
SAMPLE_EVERY = 0.02
SAMPLE_SHARE = 25
"""Sampling waits so many times as long as it takes: at most 4 % of one processor."""
QUIET = 0.15
"""Seconds in which a server that has nothing to do any more uses hardly any CPU time."""
HARDLY = 0.002


@dataclass(slots=True)
class Daemon:
    """A running server."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log_path: Path
    peak: int = 0
    """The most anonymous memory of all its processes together, in bytes, since it was reset."""
    idle: int | None = None
    """How many processes it has when it has nothing to do, once that is known."""
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    def processes(self) -> list[int]:
        """The daemon and everything below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                    waiting += map(int, children.split())
        return found

    def at_rest(self) -> int:
        """How many processes it has when it has nothing to do. First asked when that is so."""
        if self.idle is None:
            # It listens, but may be about to start others.
            self.quiet()
            self.idle = len(self.processes())
        return self.idle

    def settle(self, idle: int) -> None:
        """Waits until only the ``idle`` processes are left, so that all CPU time is accounted."""
        deadline = time.monotonic() + SETTLE_TIMEOUT
        while len(self.processes()) > idle and time.monotonic() < deadline:
            time.sleep(0.01)

    def quiet(self, patience: float = QUIET_TIMEOUT) -> None:
        """Waits until it does nothing in the background either: others are measured next."""
        deadline = time.monotonic() + patience
        before = self.cpu()
        while time.monotonic() < deadline:
            time.sleep(QUIET)
            now = self.cpu()
            if now <= before + HARDLY:
                return
            before = now

    def cpu(self) -> float:
        """CPU seconds, user and system, of all that run and all that ended and were waited for.

        Of those that run to the nanosecond; of those that ended to a tick of the kernel's clock for
        all of them together.
        """
        seconds = 0.0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text()
                waited_for = stat.rpartition(")")[2].split()[13:15]
                seconds += sum(map(int, waited_for)) / TICKS
                seconds += time.clock_gettime(clock_of(pid))
        return seconds

    def memory(self) -> int:
        """Anonymous memory of all its processes now, in bytes."""
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        total += int(line.split()[1]) * 1024
        return total

    def used(self) -> int:
        """:attr:`peak`, with pages that processes have had in common since a fork counted once.

        There only become fewer of these while they run, so what they share now they shared then.
        """
        twice = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Anonymous:"):
                        twice += int(line.split()[1]) * 1024
                    elif line.startswith("Pss_Anon:"):
                        twice -= int(line.split()[1]) * 1024
        return self.peak - twice

    def watch(self) -> None:
        """Keeps :attr:`peak` up to date, until the daemon is stopped."""
        pause = SAMPLE_EVERY
        while not self.stopping.wait(pause):
            began = time.thread_time()
            self.peak = max(self.peak, self.memory())
            pause = max(SAMPLE_EVERY, SAMPLE_SHARE * (time.thread_time() - began))


def clock_of(pid: int) -> int:
    """The clock of a process's CPU time, as ``clock_getcpuclockid`` makes it on Linux."""
    return (~pid << 3) | 2


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(daemon: Daemon, patience: float) -> None:
    """Returns once a connection is accepted."""
    deadline = time.monotonic() + patience
    while daemon.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(daemon.address, timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{daemon.name} did not start: {daemon.log_path.read_text()}")


@contextlib.contextmanager
def running(
    name: str, command: list[str], port: int, log_path: Path, patience: float = START_TIMEOUT
) -> Iterator[Daemon]:
    """A server that was told to listen on the port."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    daemon = Daemon(name, process, port, log_path)
    watcher = threading.Thread(target=daemon.watch)
    watcher.start()
    try:
        wait_until_listening(daemon, patience)
        yield daemon
    finally:
        daemon.stopping.set()
        watcher.join()
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
