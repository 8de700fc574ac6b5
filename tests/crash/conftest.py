"""Fixtures of the crash tests, and how much of them is run."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.crash import interposed, pushes

FULL = bool(os.environ.get("CRASH_FULL"))
"""All of it (``make crash``). Otherwise every kind of state, but only some of each."""


def chosen(steps: int, many: int, rng: random.Random) -> list[int]:
    """Which of so many steps are tried: all, or the ends and some between."""
    if FULL or steps <= many:
        return list(range(steps))
    return sorted({0, steps - 1, *rng.sample(range(1, steps - 1), many - 2)})


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interposer."""
    return interposed.library(tmp_path_factory.mktemp("interpose"))


@pytest.fixture(scope="session", params=sorted(pushes.PUSHES))
def push(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pushes.Push:
    """Each push in turn."""
    name: str = request.param
    return pushes.make(tmp_path_factory.mktemp("push") / name, name)


@pytest.fixture(scope="session")
def recorded(
    push: pushes.Push, library: Path, tmp_path_factory: pytest.TempPathFactory
) -> interposed.Outcome:
    """What the push does when nothing happens to it."""
    folder = tmp_path_factory.mktemp("recorded")
    repository = pushes.copy(push.repository, folder / "repository.git")
    outcome = interposed.push(repository, push.request, library, trace=folder / "trace")
    assert outcome.status == 0, outcome
    names = push.before.keys() | push.after.keys()
    moved = {name.encode() for name in names if push.before.get(name) != push.after.get(name)}
    assert outcome.ok_refs == moved, outcome
    push.check(repository, outcome.ok_refs)
    return outcome
