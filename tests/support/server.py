"""A server under test: a real process on a free port of the loopback interface.

In: a folder of repositories and options. Out: its port, its log, its exit. Knows nothing of the
protocol. With ``--oracle`` the process is git's own daemon, which shows whether a test asks for
what git does or for something of ours.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

HOST = "127.0.0.1"
START_TIMEOUT = 20.0
STOP_TIMEOUT = 15.0

PORTS = range(10_000, 32_000)
"""Below those that the kernel gives to whoever does not mind which."""
PORTS_EACH = 1_000
_taken = itertools.count(os.getpid())
"""Not the same ones first in the next run: of its connections some linger."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The commands under test."""

    daemon: tuple[str, ...]
    upload_pack: str
    receive_pack: str
    oracle: bool = False


def gitserve_programs() -> Programs:
    """gitserve as it is installed beside this interpreter."""
    command = str(Path(sys.executable).with_name("gitserve"))
    return Programs((command, "daemon"), f"{command} upload-pack", f"{command} receive-pack")


def http_programs() -> Programs:
    """The same, with the HTTP server in the daemon's place."""
    command = str(Path(sys.executable).with_name("gitserve"))
    return replace(gitserve_programs(), daemon=(command, "http"))


def oracle_programs(git: str) -> Programs:
    """The same from git."""
    return Programs((git, "daemon"), f"{git} upload-pack", f"{git} receive-pack", oracle=True)


def free_port() -> int:
    """A port that nothing listens on, and that no other process of these tests is given."""
    # gw0, gw1 and so on, where tests run beside each other
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    first = PORTS.start + worker * PORTS_EACH % len(PORTS)
    while True:
        port = first + next(_taken) % PORTS_EACH
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


@dataclass(slots=True)
class Server:
    """A running daemon."""

    process: subprocess.Popen[bytes]
    base: Path
    port: int
    log_path: Path
    log_read: int = field(default=0)
    scheme: str = "git"

    def url(self, repository: Path) -> str:
        """The URL of a repository below ``base``."""
        return f"{self.scheme}://{HOST}:{self.port}/{repository.relative_to(self.base)}"

    def connect(self, timeout: float = 30.0) -> socket.socket:
        """A raw connection."""
        return socket.create_connection((HOST, self.port), timeout=timeout)

    def new_log(self) -> str:
        """What was logged since the last time."""
        text = self.log_path.read_bytes()[self.log_read :]
        self.log_read += len(text)
        return text.decode(errors="replace")

    def assert_unharmed(self) -> None:
        """It runs, it answers, and nothing unforeseen is in its log."""
        assert self.process.poll() is None, f"the daemon is gone:\n{self.new_log()}"
        self.connect(timeout=10.0).close()
        log = self.new_log()
        for trouble in ("Traceback", "panicked", "InternalError", "SystemError"):
            assert trouble not in log, log

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end; its exit status. A daemon that does not end is killed, and that fails."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the daemon did not stop:\n{self.new_log()}") from None


@contextlib.contextmanager
def running_server(
    programs: Programs, base: Path, log_path: Path, options: Sequence[str] = ()
) -> Iterator[Server]:
    """A daemon over ``base``, listening when the block begins and gone when it ends."""
    port = free_port()
    command = [
        *programs.daemon,
        f"--base-path={base}",
        f"--listen={HOST}",
        f"--port={port}",
        "--reuseaddr",
        "--verbose",
        *options,
    ]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
        )
    server = Server(process, base, port, log_path)
    try:
        wait_until_listening(server)
        yield server
    finally:
        server.stop()


def wait_until_listening(server: Server) -> None:
    """Returns once a connection is accepted."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        if server.process.poll() is not None:
            raise AssertionError(f"the daemon did not start:\n{server.new_log()}")
        try:
            server.connect(timeout=1.0).close()
        except OSError:
            if time.monotonic() > deadline:
                raise AssertionError(f"the daemon does not listen:\n{server.new_log()}") from None
            time.sleep(0.02)
        else:
            return
