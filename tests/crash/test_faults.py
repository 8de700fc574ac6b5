"""The disk refuses a step of a push: full, without inodes, over quota, read-only, broken.

Afterwards the client knows the truth, and what it was told is there holds even when the power fails
the next moment.
"""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from tests.crash import interposed
from tests.crash.conftest import FULL, chosen
from tests.crash.pushes import Push, copy, leftovers, let_pass
from tests.crash.states import Disk

STEPS = 3
"""Of each push and fault, when not all are tried."""

FAULTS = {
    "full": (errno.ENOSPC, True),
    "full-for-a-moment": (errno.ENOSPC, False),
    "over-quota": (errno.EDQUOT, True),
    "read-only": (errno.EROFS, True),
    "broken": (errno.EIO, True),
    "broken-once": (errno.EIO, False),
}


@pytest.mark.timeout(3600 if FULL else 300)
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_step_fails(
    push: Push, recorded: interposed.Outcome, library: Path, fault: str, tmp_path: Path
) -> None:
    """Nothing is lost or half there, nothing untrue is said; the next push goes through."""
    number, is_sticky = FAULTS[fault]
    steps = chosen(recorded.steps, STEPS, random.Random(push.name + fault))
    for step in steps:
        state = copy(push.repository, tmp_path / "state.git")
        disk = Disk(state)
        outcome = interposed.push(
            state,
            push.request,
            library,
            trace=tmp_path / "trace",
            at=step,
            do=str(number),
            sticky=is_sticky,
        )
        where = f"{fault} at step {step} of {recorded.steps}: {outcome.failures[:2]}"
        assert outcome.status in (0, 1, 128), f"{where}: {outcome}"
        assert not says_too_much(outcome.told, state), f"{where}: {outcome.told!r}"
        assert b"Traceback" not in outcome.stderr, f"{where}: {outcome.stderr.decode()}"
        assert b"panicked" not in outcome.stderr, f"{where}: {outcome.stderr.decode()}"
        for operation in outcome.operations:
            disk.do(operation)
        for number_of, picture in enumerate(disk.states(random.Random(step), 1)):
            after_power_failure = tmp_path / f"after{number_of}.git"
            picture.write(after_power_failure)
            try:
                push.check(after_power_failure, outcome.ok_refs)
            except AssertionError as error:
                raise AssertionError(f"{where}, then the power: {error}") from error
            interposed.remove(after_power_failure)
        found = push.check(state, outcome.ok_refs)
        let_pass(state, seconds=120)
        again = interposed.push(state, push.next_request(found), library)
        push.check_next(found, again.ok_refs, state)
        assert leftovers(state) == [], where
        interposed.remove(state)


def says_too_much(told: bytes, repository: Path) -> bool:
    """Is it more than a client may know?"""
    return bytes(repository.parent) in told or b"Traceback" in told or b"panicked" in told
