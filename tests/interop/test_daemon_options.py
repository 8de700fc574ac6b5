"""git daemon's options that change who is served and as what, one connection each."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.raw import FLUSH, pkt
from tests.support.server import Programs, free_port, running_server

Form = Callable[[str], Path]

pytestmark = pytest.mark.ours


def ask(path: str, host: str = "localhost:9418") -> bytes:
    return pkt(f"git-upload-pack {path}\0host={host}\0".encode()) + FLUSH


def inetd(programs: Programs, request: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    """One client on two pipes."""
    return subprocess.run(
        [*programs.daemon, "--inetd", *options], input=request, capture_output=True, timeout=30
    )


def hook(tmp_path: Path, script: str) -> str:
    path = tmp_path / "hook"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return f"--access-hook={path}"


def test_inetd(programs: Programs, form: Form) -> None:
    repository = form("small")
    base = f"--base-path={repository.parent}"
    done = inetd(programs, ask(f"/{repository.name}"), "--export-all", base)
    assert done.returncode == 0
    assert b" HEAD\0" in done.stdout
    assert done.stdout.endswith(FLUSH)
    told = inetd(programs, ask("/none"), "--export-all", base, "--log-destination=stderr")
    assert told.returncode == 0
    assert b"ERR access denied or repository not exported: /none" in told.stdout


def test_access_hook(programs: Programs, form: Form, tmp_path: Path) -> None:
    repository = form("small")
    options = ("--export-all", f"--base-path={repository.parent}", "--informative-errors")
    path = f"/{repository.name}"
    note = tmp_path / "asked"
    allows = hook(tmp_path, f'echo "$#: $@" >>{note}')
    assert b" HEAD\0" in inetd(programs, ask(path, "LocalHost:77"), *options, allows).stdout
    asked = note.read_text()
    assert asked.startswith(f"6: upload-pack {repository}"), asked
    assert "localhost" in asked
    assert asked.endswith(" 77\n")
    refuses = hook(tmp_path, "echo not for you; echo more; exit 1")
    assert inetd(programs, ask(path), *options, refuses).stdout == pkt(
        f"ERR not for you: {path}".encode()
    )
    silent = hook(tmp_path, "exit 3")
    assert (
        f"ERR service rejected: {path}".encode()
        in inetd(programs, ask(path), *options, silent).stdout
    )
    gone = "--access-hook=/no/such/program"
    assert b"ERR service rejected" in inetd(programs, ask(path), *options, gone).stdout
    quiet = inetd(programs, ask(path), "--export-all", options[1], refuses).stdout
    assert quiet == pkt(f"ERR access denied or repository not exported: {path}".encode())


def test_access_hook_hears_who_asks(
    programs: Programs, base: Path, form: Form, tmp_path: Path
) -> None:
    repository = form("small")
    note = tmp_path / "asked"
    options = ["--export-all", hook(tmp_path, f"echo $REMOTE_ADDR $REMOTE_PORT >{note}; exit 1")]
    with (
        running_server(programs, base, tmp_path / "log", options) as server,
        server.connect() as connection,
    ):
        connection.sendall(ask(f"/{repository.relative_to(base)}"))
        port = connection.getsockname()[1]
        while connection.recv(1 << 16):
            pass
    assert note.read_text() == f"127.0.0.1 {port}\n"


def test_interpolated_path(programs: Programs, form: Form) -> None:
    repository = form("small")
    template = f"--interpolated-path={repository.parent.parent}/%H%D"
    asked = ask(f"/{repository.name}", repository.parent.name.upper())
    assert b" HEAD\0" in inetd(programs, asked, "--export-all", template).stdout
    climbing = ask(f"/{repository.parent.name}/{repository.name}", "..")
    assert b"ERR " in inetd(programs, climbing, "--export-all", template).stdout


def test_detach(programs: Programs, base: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    port = free_port()
    done = subprocess.run(
        [*programs.daemon, "--detach", f"--pid-file={pid_file}", "--listen=127.0.0.1",
         f"--port={port}", f"--base-path={base}", "--log-destination=none"],
        capture_output=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text().strip()):
        assert time.monotonic() < deadline, "no pid file"
        time.sleep(0.02)
    pid = int(pid_file.read_text())
    try:
        assert os.getsid(pid) == pid
    finally:
        os.kill(pid, signal.SIGTERM)
    while pid_file.exists():
        assert time.monotonic() < deadline, "it did not stop"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--user=no-such-user"], b"fatal: user not found - no-such-user\n"),
        (["--user=root", "--group=no-such-group"], b"fatal: group not found - no-such-group\n"),
        (["--group=root"], b"fatal: --group supplied without --user\n"),
    ],
)
def test_users_that_there_are_not(programs: Programs, options: list[str], reason: bytes) -> None:
    done = subprocess.run(
        [*programs.daemon, "--listen=127.0.0.1", "--port=0", *options],
        capture_output=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (128, reason)
