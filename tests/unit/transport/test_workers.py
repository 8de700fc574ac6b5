"""The process that watches: what it survives, and what it leaves alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
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


def test_another_servers_pid_file_is_left_alone(tmp_path: Path) -> None:
    """The old server may end after the new one has begun."""
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid() + 1}\n")
    workers._remove_pid_file(str(path))
    assert path.exists()
    path.write_text(f"{os.getpid()}\n")
    workers._remove_pid_file(str(path))
    assert not path.exists()
