"""What the daemon writes down, and as whom it does so: git daemon's own lines are the judge."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gitserve.options import DaemonOptions
from gitserve.transport.process import Credentials, become
from gitserve.transport.workers import opened_log

from tests.support.gits import Git
from tests.support.raw import FLUSH, Raw, greeting
from tests.support.server import HOST, Programs, Server, oracle_programs, running_server

Form = Callable[[str], Path]

pytestmark = pytest.mark.ours

OF_GIT = ("Connection from", "Extended attribute", "Request", "Disconnected", "Ready to rumble")
"""Lines that readers of git daemon's log may look for."""


def told(programs: Programs, base: Path, repository: Path, log_path: Path) -> list[str]:
    """The lines that git has too, without what differs from run to run."""
    path = b"/" + os.fsencode(repository.relative_to(base))
    with running_server(programs, base, log_path, ["--export-all"]) as server:
        for request in (
            greeting(b"git-upload-pack", path),
            greeting(b"git-upload-pack", path, b"version=1"),
            greeting(b"git-upload-pack", path, b"version=2\0other=x"),
            greeting(b"git-upload-pack", b"/no'where"),
            greeting(b"git-receive-pack", path),
        ):
            with Raw.to(server) as raw:
                raw.send(request, FLUSH)
                raw.rest()
        until_told(server, "Disconnected", 6)  # one was whoever looked whether it listens
    log = re.sub(r"^(\[\d+\] )+", "", log_path.read_text(), flags=re.MULTILINE)
    log = re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", log)
    return sorted(line for line in log.splitlines() if line.startswith(OF_GIT))


def until_told(server: Server, words: str, times: int) -> None:
    deadline = time.monotonic() + 20
    while server.log_path.read_text().count(words) < times:
        assert time.monotonic() < deadline, server.new_log()
        time.sleep(0.02)


def test_the_same_lines(
    git: Git, programs: Programs, base: Path, form: Form, tmp_path: Path
) -> None:
    ours = told(programs, base, form("small"), tmp_path / "ours")
    gits = told(oracle_programs(git.path), base, form("small"), tmp_path / "git")
    assert ours == gits
    assert any('"protocol": version=2:other=x' in line for line in ours)


def test_another_user() -> None:
    """Who listens on git's port need not stay what he was for that."""
    nobody = pwd.getpwnam("nobody")
    gid = next(g.gr_gid for g in grp.getgrall() if g.gr_gid not in (0, nobody.pw_gid))
    read, write = os.pipe()
    if not (child := os.fork()):
        try:
            become(Credentials(nobody.pw_name, nobody.pw_uid, gid))
        except OSError as error:
            os.write(write, str(error).encode())
        os.write(write, Path("/proc/self/status").read_bytes())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as file:
        status = file.read().decode()
    if os.geteuid() != 0:
        assert "cannot drop privileges" in status
        return
    found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert found["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert found["Gid"].split() == [str(gid)] * 4
    assert str(os.getgid()) not in found["Groups"].split()
    assert int(found["CapEff"], 16) == 0


def test_a_user_who_could_not_serve(programs: Programs) -> None:
    """Told at once, not when the first client comes: he has to be allowed to read the program."""
    open_to_all = os.stat(os.__file__).st_mode & stat.S_IROTH and all(
        os.stat(folder).st_mode & stat.S_IXOTH for folder in Path(os.__file__).parents
    )
    options = ["--user=nobody", f"--listen={HOST}", "--port=0", "--workers=1"]
    with subprocess.Popen(
        [*programs.daemon, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as daemon:
        assert daemon.stderr is not None
        first = daemon.stderr.readline().decode()
        if "Listening on" in first:
            daemon.terminate()
        status = daemon.wait(30)
    if os.geteuid() == 0 and open_to_all:
        assert "Listening on" in first
    else:
        assert status == 128
        assert "cannot drop privileges" in first or "user nobody cannot read" in first


@pytest.mark.parametrize("verbose", [False, True])
def test_into_the_systems_log(monkeypatch: pytest.MonkeyPatch, verbose: bool) -> None:
    import syslog

    opened: list[tuple[object, ...]] = []
    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "openlog", lambda *words: opened.append(words))
    monkeypatch.setattr(syslog, "syslog", lambda level, text: lines.append((level, text)))
    log = opened_log(DaemonOptions(log_destination="syslog", verbose=verbose))
    log.line("one\nline \x1b[2J " + "x" * 10 + "\udcff")
    log.detail("more")
    assert opened == [("gitserve", syslog.LOG_PID, syslog.LOG_DAEMON)]
    assert lines[0] == (syslog.LOG_INFO, "one?line ?[2J xxxxxxxxxx?")
    assert [text for _, text in lines[1:]] == (["more"] if verbose else [])
