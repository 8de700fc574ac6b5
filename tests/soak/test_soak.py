"""Some seconds of it. ``make soak`` goes on for minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.soaking import soak
from tests.support.gits import Git

pytestmark = pytest.mark.ours

SECONDS = 12.0


def test_nothing_fails_beside_maintenance(newest_git: Git, tmp_path: Path) -> None:
    with soak(newest_git, tmp_path, 1) as (run, servers):
        run.run(SECONDS)
        run.check(servers)
    did = {what.rpartition(" ")[2] for what in run.done}
    assert {"clone", "fetch", "push"} < did
    assert all(run.done[f"{road} push"] for road in run.clients)
