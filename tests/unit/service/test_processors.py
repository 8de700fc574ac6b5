"""Small requests of one process stay on one processor, and nothing else does."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from gitserve.service import process
from gitserve.service.process import aside, run_program
from gitserve.service.sharing import Processors

Moves = list[set[int]]


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Moves:
    """Where threads were sent; there are two processors to choose from."""
    made: Moves = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _who: {3, 5}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _who, to: made.append(to), raising=False)
    return made


def test_there_and_back(moves: Moves) -> None:
    processors = Processors()
    processors.settle()
    processors.spread()
    assert not moves, "nobody has said that this process serves"
    processors.stay_on(3, 4)
    for _ in range(2):
        processors.settle()
    assert moves == [{5}]
    for _ in range(2):
        processors.spread()
    assert moves == [{5}, {3, 5}]
    processors.settle()
    assert moves[2:] == [{5}]


def test_each_thread_for_itself(moves: Moves) -> None:
    processors = Processors()
    processors.stay_on(0, 2)
    processors.settle()
    other = threading.Thread(target=processors.spread)
    other.start()
    other.join()
    assert moves == [{3}]


def test_workers_are_spread_over_all() -> None:
    allowed = os.sched_getaffinity(0)
    found = [Processors() for _ in range(2 * len(allowed))]
    for number, processors in enumerate(found):
        processors.stay_on(number, len(found))
    if len(allowed) > 1:
        assert set().union(*(processors.own for processors in found)) == allowed


def test_one_processor_is_no_choice(moves: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _who: {0}, raising=False)
    processors = Processors()
    processors.stay_on(0, 2)
    processors.settle()
    assert not moves


def test_fewer_workers_go_where_there_is_room(moves: Moves) -> None:
    processors = Processors()
    processors.stay_on(0, 1)
    processors.settle()
    assert not moves


def test_processors_may_be_taken_away(moves: Moves, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_who: int, _to: set[int]) -> None:
        raise OSError

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    processors = Processors()
    processors.stay_on(0, 2)
    processors.settle()
    processors.spread()
    assert not moves


def test_programs_may_use_all(monkeypatch: pytest.MonkeyPatch) -> None:
    processors = Processors()
    processors.stay_on(0, len(os.sched_getaffinity(0)))
    monkeypatch.setattr(process, "PROCESSORS", processors)
    said: list[bytes] = []

    def serve() -> None:
        processors.settle()
        words = [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"]
        run_program(
            words, cwd="/", environ=dict(os.environ), stdin=b"", on_output=said.append,
            timeout=60, on_error_output=aside,
        )  # fmt: skip

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert b"".join(said).strip() == repr(sorted(os.sched_getaffinity(0))).encode()
