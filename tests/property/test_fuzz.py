"""The fuzz targets of ``tests/fuzz``, briefly; and what they have ever found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS

CRASHERS = Path(__file__).parents[1] / "fuzz/crashers"
INPUTS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_seeds(name: str) -> None:
    target, rng = TARGETS[name], random.Random(name)
    for seed in target.seeds:
        target.run(seed)
    for _ in range(INPUTS):
        data = mutated(rng, target.seeds)
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{name}: {data!r}") from error


def test_what_was_found_once() -> None:
    for path in sorted(CRASHERS.iterdir()) if CRASHERS.is_dir() else ():
        TARGETS[path.name.rpartition("-")[0]].run(path.read_bytes())
