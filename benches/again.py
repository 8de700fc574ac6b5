"""Rows of a stored result that the host disturbed, and what takes their place.

In: the rounds of a stored result, later those of a row that was measured again. Out: the names of
rows to measure, and the rounds that stay. Only by how much the host took is it decided, never by
what was measured.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from benches.report import Measured, Results

SAME = ("processor", "processors", "memory GB", "system", "python", "git", "repository")
"""What both say of where they were made; otherwise they are two results."""


def differs(stored: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What they do not have in common."""
    return [name for name in SAME if stored.get(name) != now.get(name)]


def share(measured: Sequence[Measured]) -> float:
    """Of the rounds that count, how many were disturbed: 0.0 to 1.0."""
    results = Results(measured)
    counted = [
        one for servers in results.by_row.values() for rounds in servers.values() for one in rounds
    ]
    return sum(one.is_disturbed for one in counted) / max(1, len(counted))


def group(row: str) -> str:
    """What is measured at once: reads after pushes only with these pushes, others by themselves."""
    pushes = re.match(r"after \d+ pushes|(\d+) pushes in a row", row)
    if pushes is None:
        return row
    return f"after {pushes[1]} pushes" if pushes[1] else pushes[0]


def disturbed(measured: Sequence[Measured]) -> list[str]:
    """The groups where the host had a hand in half of some server's rounds of a row."""
    results = Results(measured)
    found = {
        group(row)
        for row, servers in results.by_row.items()
        for rounds in servers.values()
        if 2 * sum(one.is_disturbed for one in rounds) >= len(rounds)
    }
    return sorted(found)


def among(groups: Sequence[str], name: str) -> bool:
    """Is a row of this name in one of them? Who asks leaves out what all of a kind end with."""
    return any(name in {one, one.partition(", push")[0]} for one in groups)


def replaced(stored: Sequence[Measured], new: Sequence[Measured]) -> list[Measured]:
    """The rounds that stay: the new ones in the place of those of the same rows, if quieter."""
    rows = {one.row for one in new}
    old = [one for one in stored if one.row in rows]
    if not old:
        return [*stored, *new]
    if share(new) >= share(old):
        return list(stored)
    at = stored.index(old[0])
    return [*stored[:at], *new, *(one for one in stored[at:] if one.row not in rows)]
