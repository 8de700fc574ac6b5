"""``gitserve maintain`` is ended at any step: killed, by the power, by a disk that refuses.

Whatever happens, nothing is lost, git finds nothing wrong, and the next run does the work and
cleans up.
"""

from __future__ import annotations

import errno
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash import interposed, upkeeps
from tests.crash.conftest import FULL, chosen
from tests.crash.pushes import copy, leftovers, let_pass
from tests.crash.states import Disk, Picture
from tests.crash.upkeeps import Upkeep

KILLS = 4
FAULTS = 2
STATES = 10
"""Of each run, when not all are tried."""

RANDOM_STATES = 12 if FULL else 2
"""At each operation, beside the four extremes."""

HOURS = 3 * 60 * 60
"""What lies about for so long is nobody's any more."""


@pytest.fixture(scope="module", params=sorted(upkeeps.UPKEEPS))
def upkeep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Upkeep:
    """Each run in turn."""
    name: str = request.param
    return upkeeps.make(tmp_path_factory.mktemp("upkeep") / name, name)


@pytest.fixture(scope="module")
def recorded(
    upkeep: Upkeep, library: Path, tmp_path_factory: pytest.TempPathFactory
) -> interposed.Outcome:
    """What the run does when nothing happens to it."""
    folder = tmp_path_factory.mktemp("recorded")
    repository = copy(upkeep.repository, folder / "repository.git")
    let_pass(repository, seconds=10)
    outcome = interposed.maintain(repository, upkeep.words, library, trace=folder / "trace")
    assert (outcome.status, outcome.stderr) == (0, b"")
    upkeep.check(repository)
    check_done(upkeep, repository)
    return outcome


def check_done(upkeep: Upkeep, repository: Path) -> None:
    """The work is done, and nothing lies about."""
    # a ref's lock that has lost its twin with the power goes with whoever meets it
    left = [name for name in leftovers(repository) if not name.startswith("refs/")]
    assert left == []
    packs = repository / "objects/pack"
    stems = {path.stem for path in packs.iterdir() if path.name.startswith("pack-")}
    assert stems == {path.stem for path in packs.glob("*.idx")}, "part of a pack"
    if upkeep.name == "roll-up":
        # how many depends on where the last run was cut off, and so does which row they are in
        counts = sorted(object_count(index) for index in packs.glob("pack-*.idx"))
        assert all(larger >= 2 * smaller for smaller, larger in pairwise(counts)), counts
    else:
        assert len(stems) <= {"full": 2, "prune": 1}[upkeep.name]
    beside = list(packs.glob("multi-pack-index-*"))
    assert len(beside) <= (packs / "multi-pack-index").exists()
    assert not (repository / "refs/heads/other").exists()
    assert (repository / "objects/info/commit-graph").exists()
    assert not (repository / "gc.pid").exists()
    if upkeep.name == "prune":
        assert upkeeps.objects(repository) == upkeep.wanted


def object_count(index: Path) -> int:
    """Of a pack: the last number of the fan-out table (``gitformat-pack``, version 2)."""
    return int.from_bytes(index.read_bytes()[8 + 255 * 4 :][:4])


def do_again(upkeep: Upkeep, repository: Path, library: Path) -> None:
    """The next run, some hours later, when the machine has been started anew."""
    let_pass(repository, seconds=HOURS)
    boot = int(time.time()) + 3600
    outcome = interposed.maintain(repository, upkeep.words, library, boot=boot)
    assert (outcome.status, outcome.stderr) == (0, b"")
    upkeep.check(repository)
    check_done(upkeep, repository)


@pytest.mark.timeout(3600 if FULL else 300)
def test_killed(
    upkeep: Upkeep, recorded: interposed.Outcome, library: Path, tmp_path: Path
) -> None:
    """``kill -9`` before every step that changes a file."""
    for step in chosen(recorded.steps, KILLS, random.Random(upkeep.name)):
        state = copy(upkeep.repository, tmp_path / "state.git")
        let_pass(state, seconds=10)
        outcome = interposed.maintain(state, upkeep.words, library, at=step, do="kill")
        assert outcome.status == -signal.SIGKILL, f"step {step} of {recorded.steps}: {outcome}"
        upkeep.check(state)
        do_again(upkeep, state, library)
        interposed.remove(state)


@pytest.mark.timeout(3600 if FULL else 300)
@pytest.mark.parametrize(
    ("fault", "is_sticky"),
    [(errno.ENOSPC, True), (errno.EIO, False), (errno.EIO, True), (errno.EROFS, True)],
)
def test_a_step_fails(
    upkeep: Upkeep,
    recorded: interposed.Outcome,
    library: Path,
    tmp_path: Path,
    fault: int,
    is_sticky: bool,
) -> None:
    """The disk refuses a step, for once or from then on; then the power fails too."""
    rng = random.Random(f"{upkeep.name} {fault} {is_sticky}")
    for step in chosen(recorded.steps, FAULTS, rng):
        state = copy(upkeep.repository, tmp_path / "state.git")
        let_pass(state, seconds=10)
        disk = Disk(state)
        outcome = interposed.maintain(
            state,
            upkeep.words,
            library,
            trace=tmp_path / "trace",
            at=step,
            do=str(fault),
            sticky=is_sticky,
        )
        where = f"step {step} of {recorded.steps}: {outcome.failures[:2]}"
        assert outcome.status in (0, 1), f"{where}: {outcome}"
        for word in (b"Traceback", b"panicked"):
            assert word not in outcome.stderr, f"{where}: {outcome.stderr.decode()}"
        for operation in outcome.operations:
            disk.do(operation)
        for number, picture in enumerate(disk.states(rng, 1)):
            check_picture(upkeep, picture, tmp_path / f"after{number}.git", where)
        upkeep.check(state)
        do_again(upkeep, state, library)
        interposed.remove(state)


def check_picture(upkeep: Upkeep, picture: Picture, state: Path, where: str) -> None:
    """What the disk may hold is whole."""
    picture.write(state)
    try:
        upkeep.check(state)
    except AssertionError as error:
        raise AssertionError(f"{where}, then the power: {error}") from error
    interposed.remove(state)


@pytest.mark.timeout(7200 if FULL else 300)
def test_power_fails(
    upkeep: Upkeep, recorded: interposed.Outcome, library: Path, tmp_path: Path
) -> None:
    """The record is cut off after every operation, with any part of what was not synced."""
    rng = random.Random(upkeep.name)
    disk = Disk(copy(upkeep.repository, tmp_path / "before"))
    disk.rename_root(recorded.root)
    seen: dict[str, tuple[Picture, str]] = {}
    for number, operation in enumerate(recorded.operations):
        disk.do(operation)
        where = f"{number} of {len(recorded.operations)}: {operation.what} {operation.path}"
        for picture in disk.states(rng, RANDOM_STATES):
            seen.setdefault(picture.fingerprint(), (picture, where))
    states = list(seen.values())
    assert len(states) > len(recorded.operations) / 2
    if not FULL:
        states = rng.sample(states, STATES)
    for number, (picture, where) in enumerate(states):
        check_picture(upkeep, picture, tmp_path / "state.git", where)
        if number % 5 == 0:
            picture.write(tmp_path / "state.git")
            do_again(upkeep, tmp_path / "state.git", library)
            interposed.remove(tmp_path / "state.git")
