"""Measures gitserve beside other servers: ``python -m benches --help``.

- without a command: every row on one repository (:mod:`benches.rows`);
- ``results``: what is kept in ``benches/results/``, on several (:mod:`benches.kept`);
- ``targets``: what stored results say about the targets (:mod:`benches.targets`);
- ``growth``: how costs grow with commits, refs and clients;
- ``mixed``: small fetches among clones;
- ``generate KIND PATH``: makes a repository.
"""

from __future__ import annotations

import sys

from benches import generate, growth, kept, leaving, mixed, rows, targets

COMMANDS = {
    "results": kept.main,
    "targets": targets.main,
    "growth": growth.main,
    "mixed": mixed.main,
    "leaving": leaving.main,
    "generate": generate.main,
}


def main() -> None:
    """Chooses the command."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        COMMANDS[words[0]](words[1:])
    else:
        rows.run(words)


if __name__ == "__main__":
    main()
