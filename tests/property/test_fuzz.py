"""The fuzz targets of ``tests/fuzz``, briefly; and what they have ever found."""

from __future__ import annotations

import pkgutil
import random
import sys
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from gitserve import wire

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


WRITERS = ("format", "encode", "sanitised_agent")
"""Beginnings of the names of what reads nothing that a stranger sent."""


def test_every_reader_of_the_wire_is_fuzzed() -> None:
    """A message without a target would be forgotten otherwise."""
    reached: set[CodeType] = set()
    sys.setprofile(lambda frame, event, _: reached.add(frame.f_code) if event == "call" else None)
    try:
        for target in TARGETS.values():
            for seed in target.seeds:
                target.run(seed)
    finally:
        sys.setprofile(None)
    readers = {
        f"{module.name}.{name}": function.__code__
        for module in pkgutil.iter_modules(wire.__path__)
        for name, function in vars(import_module(f"gitserve.wire.{module.name}")).items()
        if isinstance(function, FunctionType)
        and function.__module__ == f"gitserve.wire.{module.name}"
        and not name.startswith(("_", *WRITERS))
    }
    assert len(readers) > 30
    assert [name for name, code in readers.items() if code not in reached] == []


def test_what_was_found_once() -> None:
    for path in sorted(CRASHERS.iterdir()) if CRASHERS.is_dir() else ():
        TARGETS[path.name.rpartition("-")[0]].run(path.read_bytes())
