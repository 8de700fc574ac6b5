"""``python -m tests.fuzz [--seconds N] [--seed N] [TARGET...]``: searches, and keeps what fails."""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS

CRASHERS = Path(__file__).with_name("crashers")
MANY = 20
"""Inputs between two looks at the clock."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("target", nargs="*", help=", ".join(TARGETS))
    asked = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if asked.seed is None else asked.seed
    failed = 0
    for name in asked.target or TARGETS:
        rng = random.Random(f"{seed} {name}")
        tried, found = search(name, rng, asked.seconds)
        sys.stdout.write(f"{name}: {tried} inputs, {found} failed (seed {seed})\n")
        sys.stdout.flush()
        failed += found
    return 1 if failed else 0


def search(name: str, rng: random.Random, seconds: float) -> tuple[int, int]:
    """Inputs tried, and failures of different kinds."""
    target, tried, kinds = TARGETS[name], 0, set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(MANY):
            data = mutated(rng, target.seeds)
            tried += 1
            try:
                target.run(data)
            except Exception as error:  # noqa: BLE001 - all that escapes is what is looked for
                place = traceback.extract_tb(error.__traceback__)[-1]
                kind = (type(error), place.filename, place.lineno)
                if kind not in kinds:
                    kinds.add(kind)
                    keep(name, data)
                    traceback.print_exc()
    return tried, len(kinds)


def keep(name: str, data: bytes) -> None:
    """As a regression test; see ``tests/property/test_fuzz.py``."""
    CRASHERS.mkdir(exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()[:8]
    (CRASHERS / f"{name}-{digest}").write_bytes(data)


if __name__ == "__main__":
    sys.exit(main())
