"""Numbers into a table for people and a file for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One round of one workload on one server."""

    workload: str
    server: str
    requests: int
    errors: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    first_p99_ms: float
    cpu_ms: float
    """The server's CPU time per request, in milliseconds."""
    memory: int
    """Its peak of anonymous memory, in bytes."""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0


def middle(rounds: Sequence[Measured], what: str) -> float:
    """The median of one number over the rounds."""
    return float(median(getattr(one, what) for one in rounds))


COLUMNS = ("req/s", "CPU ms", "p50 ms", "p99 ms", "first ms", "MB sent", "peak MB")


def row(rounds: Sequence[Measured]) -> list[float]:
    """One server's numbers, in the order of :data:`COLUMNS`."""
    requests = max(1.0, middle(rounds, "requests"))
    return [
        middle(rounds, "per_second"),
        middle(rounds, "cpu_ms"),
        middle(rounds, "p50_ms"),
        middle(rounds, "p99_ms"),
        middle(rounds, "first_p50_ms"),
        middle(rounds, "bytes") / requests / 1e6,
        middle(rounds, "memory") / 1e6,
    ]


def table(measured: Sequence[Measured], servers: Sequence[str]) -> str:
    """A line a server, and how many times better the second one is."""
    lines = [f"{'':28}{'':12}" + "".join(f"{column:>11}" for column in COLUMNS)]
    for workload in dict.fromkeys(one.workload for one in measured):
        rows = {}
        for server in servers:
            rounds = [one for one in measured if (one.workload, one.server) == (workload, server)]
            if not rounds:
                continue
            rows[server] = row(rounds)
            numbers = "".join(f"{number:11.2f}" for number in rows[server])
            failed = sum(one.errors for one in rounds)
            trouble = f"  {failed} FAILED" if failed else ""
            lines.append(f"{workload if len(rows) == 1 else '':28}{server:12}{numbers}{trouble}")
        if len(rows) == 2:
            theirs, ours = (rows[server] for server in servers)
            ratios = []
            for number, (their, our) in enumerate(zip(theirs, ours, strict=True)):
                upper, lower = (our, their) if number == 0 else (their, our)
                ratios.append(f"{upper / lower:10.1f}x" if lower else f"{'-':>11}")
            lines.append(f"{'':28}{'better':12}" + "".join(ratios))
    return "\n".join(lines)


def save(path: Path, measured: Sequence[Measured], about: dict[str, Any]) -> None:
    """Everything, every round."""
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {"machine": platform.machine(), "system": platform.release()}
    content = {"about": about | machine, "rounds": [asdict(one) for one in measured]}
    path.write_text(json.dumps(content, indent=1) + "\n")
