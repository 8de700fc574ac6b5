"""``python -m tests.soak [--minutes N] [--seed N]``: what is done, how often, and what fails."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.soaking import soak
from tests.support.gits import installed_gits

CONFIGURATION = "[user]\n\tname = A Tester\n\temail = tester@example.org\n[gc]\n\tauto = 0\n"
"""Of the clients: their clones go soon."""


def main() -> int:
    """0 when nothing failed. The folder stays when something did."""
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10_000) if asked.seed is None else asked.seed
    work = Path(tempfile.mkdtemp(prefix="gitserve-soak-"))
    (work / "gitconfig").write_text(CONFIGURATION)
    os.environ |= {"GIT_CONFIG_GLOBAL": str(work / "gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"}
    with soak(installed_gits()[0], work, seed) as (run, servers):
        run.run(asked.minutes * 60)
        sys.stdout.write(f"{run.told()}\n")
        try:
            run.check(servers)
        except AssertionError as error:
            sys.stdout.write(f"seed {seed}, kept in {work}:\n{error}\n")
            return 1
    shutil.rmtree(work)
    sys.stdout.write(f"nothing failed (seed {seed})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
