"""A power failure at any moment of a push: what is not synced may be lost, or come in any order."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.crash import interposed
from tests.crash.conftest import FULL
from tests.crash.pushes import GIT, Push, copy
from tests.crash.states import Disk, Picture
from tests.support.gits import assert_sound, refs

RANDOM_STATES = 24 if FULL else 3
"""At each operation, beside the four extremes."""

MOST_STATES = 1_000_000 if FULL else 90
"""Of one push, chosen at random where there are more."""

NEXT_PUSHES = 1 if FULL else 9
"""Every so many states are pushed to again."""

UPKEEPS = 15
"""Every so many are kept in order then, those that were pushed to and others."""


@pytest.mark.timeout(7200 if FULL else 300)
def test_every_state_is_whole(
    push: Push, recorded: interposed.Outcome, library: Path, tmp_path: Path
) -> None:
    """``git fsck`` is clean, what was acknowledged is there, and the next push goes through."""
    rng = random.Random(push.name)
    states = _states(push, recorded, rng, tmp_path)
    assert len(states) > len(recorded.operations) / 2
    if len(states) > MOST_STATES:
        states = rng.sample(states, MOST_STATES)
    for number, (picture, acknowledged) in enumerate(states):
        state = tmp_path / "state.git"
        picture.write(state)
        found = push.check(state, acknowledged)
        if number % NEXT_PUSHES == 0:
            # a lock may have survived without what tells whose it was: the machine was started
            boot = int(time.time()) + 3600
            outcome = interposed.push(state, push.next_request(found), library, boot=boot)
            push.check_next(found, outcome.ok_refs, state)
        if number % UPKEEPS == 0:
            _check_upkeep(state, library)
        interposed.remove(state)


def _check_upkeep(state: Path, library: Path) -> None:
    """Upkeep loses nothing either."""
    boot = int(time.time()) + 3600
    shown = refs(GIT, state)
    done = interposed.maintain(state, ["--full"], library, boot=boot)
    assert (done.status, refs(GIT, state)) == (0, shown), done.stderr.decode()
    assert_sound(GIT, state)


def _states(
    push: Push, recorded: interposed.Outcome, rng: random.Random, folder: Path
) -> list[tuple[Picture, frozenset[bytes]]]:
    """What the disk may hold after each operation, and what the client was told by then."""
    disk = Disk(copy(push.repository, folder / "before"))
    disk.rename_root(recorded.root)
    told = b""
    seen: dict[str, tuple[Picture, frozenset[bytes]]] = {}
    for operation in recorded.operations:
        disk.do(operation)
        if operation.what == "told":
            told += operation.content
        acknowledged = interposed.acknowledged(told)
        for picture in disk.states(rng, RANDOM_STATES):
            seen.setdefault(f"{picture.fingerprint()} {len(acknowledged)}", (picture, acknowledged))
    return list(seen.values())
