"""What is measured again of a stored result, and what it takes the place of."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from benches import again, rows
from benches.host import Neighbours
from benches.report import Measured, load, save
from tests.benches.test_parts import measured


def row(name: str, *stolen: float, server: str = "gitserve", **more: Any) -> list[Measured]:
    return [
        measured(server, 1.0, row=name, stolen=one, number=number, **more)
        for number, one in enumerate(stolen)
    ]


def names(groups: list[str], *asked: str) -> list[str]:
    return [name for name in asked if again.among(groups, name)]


def test_what_the_host_had_a_hand_in_is_asked_again() -> None:
    stored = [
        *row("quiet", 0.0, 0.3, 0.0),
        *row("half", 0.0, 0.3),
        *row("theirs", 0.0),
        *row("theirs", 0.2, server="git daemon"),
        # of one number the quiet round counts
        *row("mended", 0.3),
        *row("mended", 0.0),
        *row("push of one commit, 1000 refs", 0.3, mode="push", version=0),
        *row("after 1000 pushes, packed anew: clone", 0.3),
        *row("10000 pushes in a row", 0.3, mode="push", version=0),
    ]
    groups = again.disturbed(stored)
    assert groups == [
        "after 1000 pushes",
        "after 10000 pushes",
        "half, repeated",
        "push of one commit, 1000 refs, push, v0",
        "theirs, repeated",
    ]
    asked = ("half, repeated", "half, repeated, v0", "quiet, repeated", "after 1000 pushes")
    assert names(groups, *asked) == ["half, repeated", "after 1000 pushes"]
    assert names(groups, "push of one commit, 1000 refs") == ["push of one commit, 1000 refs"]


def test_how_much_the_host_took_decides() -> None:
    first, second, last = row("a", 0.0), row("b", 0.3, 0.0), row("c", 0.0)
    stored = [*first, *second, *last]
    worse, quiet = row("b", 0.4, 0.4), row("b", 0.0)
    assert again.replaced(stored, worse) == stored
    assert again.replaced(stored, row("b", 0.3, 0.0, slowed=1.5)) == stored
    assert again.replaced(stored, quiet) == [*first, *quiet, *last]
    assert again.replaced(stored, row("d", 0.9)) == [*stored, *row("d", 0.9)]


def test_a_result_of_another_machine_is_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(path, row("a", 0.3), {"processors": 2, "load before": 1})
    with pytest.raises(SystemExit, match="another processors, another git"):
        rows.stored(path, {"processors": 8, "git": "3"})
    taken, groups = rows.stored(path, {"processors": 2, "load before": 3})
    assert groups == ["a, repeated"]
    taken.take("a, repeated", lambda: row("a", 0.0))
    assert load(path) == row("a", 0.0)


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    taken = rows.Taken(path, {})
    taken.take("a, repeated", lambda: row("a", 0.0))

    def fail() -> list[Measured]:
        raise RuntimeError("it does not start")

    for _ in range(2):
        taken.take("b, repeated", fail)
    taken.take("c, repeated", lambda: row("c", 0.0))
    assert taken.failed == ["b, repeated"]
    taken, groups = rows.stored(path, {})
    assert groups == ["b, repeated"]
    taken.take("b, repeated", lambda: row("b", 0.0))
    assert rows.stored(path, {})[1] == []


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [False, False, True]
    slept: list[float] = []
    neighbours = Neighbours()
    monkeypatch.setattr(Neighbours, "_is_quiet", lambda _: looks.pop(0))
    monkeypatch.setattr(time, "sleep", slept.append)
    neighbours.wait(0.0)
    assert len(looks) == 3, "who has none does not look"
    neighbours.wait(60.0)
    assert (len(looks), len(slept)) == (0, 2)
