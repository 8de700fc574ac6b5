"""The server is killed (``kill -9``) before every step of a push that changes a file."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.crash import interposed
from tests.crash.conftest import FULL, chosen
from tests.crash.pushes import Push, copy, leftovers, let_pass

STEPS = 10
"""Of each push, when not all are tried."""


@pytest.mark.timeout(3600 if FULL else 300)
def test_a_killed_push(
    push: Push, recorded: interposed.Outcome, library: Path, tmp_path: Path
) -> None:
    """Nothing acknowledged is lost; the next push goes through, and cleans up."""
    steps = chosen(recorded.steps, STEPS, random.Random(push.name))
    for step in steps:
        state = copy(push.repository, tmp_path / "state.git")
        outcome = interposed.push(state, push.request, library, at=step, do="kill")
        assert outcome.status == -signal.SIGKILL, f"step {step} of {recorded.steps}: {outcome}"
        found = push.check(state, outcome.ok_refs)
        let_pass(state, seconds=120)
        again = interposed.push(state, push.next_request(found), library)
        push.check_next(found, again.ok_refs, state)
        assert leftovers(state) == [], f"step {step}"
        interposed.remove(state)
