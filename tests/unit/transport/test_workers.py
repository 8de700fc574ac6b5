"""The process that watches: what it survives, and what it leaves alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from gitserve.options import DaemonOptions
from gitserve.transport import prefork, workers
from gitserve.transport.log import Log


def test_a_worker_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of processes is reached: no reason to end those that serve."""

    def no_more() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def work(_number: int, _stop: prefork.StopSignal) -> None:
        raise AssertionError("nobody is there to work")

    watcher = prefork.Watcher(2, work, Log(None), grace=1.0)
    monkeypatch.setattr(os, "fork", no_more)
    watcher._due.append((0.0, 1))
    watcher._replace_due(-1, -1)
    assert [number for _, number in watcher._due] == [1]
    assert watcher._due[0][0] > 0.0


def test_a_stop_that_comes_early(tmp_path: Path) -> None:
    """Whoever has seen the pid file may send it."""
    path = tmp_path / "pid"
    options = DaemonOptions(addresses=("127.0.0.1",), port=0, workers=1, pid_file=str(path))

    def nobody(_connection: object) -> None:
        raise AssertionError("nobody comes")

    def stop(_listeners: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    if not (child := os.fork()):
        status = 1
        try:
            stopped_by = workers.run_workers(options, nobody, nobody, Log(None), on_listening=stop)
            status = 0 if stopped_by == signal.SIGTERM else 2
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == 0
    assert not path.exists()


def test_another_servers_pid_file_is_left_alone(tmp_path: Path) -> None:
    """The old server may end after the new one has begun."""
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid() + 1}\n")
    workers._remove_pid_file(str(path))
    assert path.exists()
    path.write_text(f"{os.getpid()}\n")
    workers._remove_pid_file(str(path))
    assert not path.exists()
