"""Numbers into a table for people and a file for programs, and two files into what has changed.

A row is a workload in a mode and a version. Ratios are of medians over rounds, of the same run;
rounds of which the host's other machines took much are kept, and do not count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from statistics import mean, median
from typing import Any

from benches.host import MOST_SLOWED, MOST_STOLEN
from benches.peers import CACHED, DULWICH, GIT, LIMIT, ORDER, OURS
from benches.workloads import DIFFERENT


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
    """The server's CPU time per request, in milliseconds, its children's included."""
    memory: int
    """Its peak of anonymous memory, in bytes: mapped files are not counted."""
    mode: str = "repeated"
    version: int = 2
    connections: int = 1
    background_ms: float = 0.0
    """CPU time per request that it went on to use when everybody had an answer."""
    client_cpu_ms: float = 0.0
    """The load generator's own."""
    answers: dict[str, int] = field(default_factory=dict)
    """Bytes that answered each conversation, by its number in the file, where that is known."""
    took_ms: dict[str, float] = field(default_factory=dict)
    """How long each of these was waited for."""
    number: int = 0
    """Which round: those of one number ask the same."""
    stolen: float = 0.0
    """The share of all processor time that other machines of the host had (:mod:`benches.host`)."""
    slowed: float = 1.0
    """Times what a piece of work takes at best that it took beside the round."""

    @property
    def is_disturbed(self) -> bool:
        return self.stolen > MOST_STOLEN or self.slowed > MOST_SLOWED

    @property
    def row(self) -> str:
        """As :attr:`benches.workloads.Workload.row`."""
        return f"{self.workload}, {self.mode}" + (", v0" if self.version == 0 else "")

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def sent(self) -> float:
        """Bytes for one request."""
        return self.bytes / max(1, self.requests)


def undisturbed(rounds: Sequence[Measured]) -> list[Measured]:
    """Those that count: of each number the quiet ones, or else the quietest. Some ask for more than
    others, and no server may miss those. Whatever failed stays."""
    numbers: dict[int, list[Measured]] = {}
    for one in rounds:
        numbers.setdefault(one.number, []).append(one)
    counted = []
    for same in numbers.values():
        quiet = [one for one in same if not one.is_disturbed]
        counted += quiet or [min(same, key=lambda one: one.slowed * (1 + one.stolen))]
    return [one for one in rounds if one.errors or one in counted]


def middle(rounds: Sequence[Measured], what: str) -> float:
    """The median of one number over the rounds."""
    return float(median(getattr(one, what) for one in rounds))


@dataclass(frozen=True, slots=True)
class Ratios:
    """How many times better than another server of the same run; ``None`` where it is nothing."""

    speed: float | None
    """Requests per second, of those that both have answered where that is known."""
    cpu: float | None
    first: float | None
    memory: float | None
    sent: float | None
    """Bytes in their bytes, over the requests that both have answered."""
    worst: float | None = None
    """The same of the one request where it is most."""
    compared: int = 0
    """How many different requests that were."""


def over(upper: float, lower: float) -> float | None:
    """A ratio, if there is one."""
    return upper / lower if upper and lower else None


def asked(one: Measured) -> tuple[str, int, int]:
    """What, in which version, by how many at once."""
    return one.workload, one.version, one.connections


def answered(rounds: Sequence[Measured]) -> dict[str, float]:
    """Bytes by conversation, over all rounds."""
    found: dict[str, list[int]] = {}
    for one in rounds:
        for conversation, length in one.answers.items():
            found.setdefault(conversation, []).append(length)
    return {conversation: mean(lengths) for conversation, lengths in found.items()}


def sent(
    ours: Sequence[Measured], theirs: Sequence[Measured]
) -> tuple[float | None, float | None, int]:
    """Bytes in theirs, of all and of the worst single request, and over how many requests.

    Servers get to different ends of a list in the same time, and a request may take a hundred times
    the bytes of another: only what both have answered is compared. Where it was not noted which
    requests these were and they differ, there is nothing to say.
    """
    here, there = answered(ours), answered(theirs)
    if here and there:
        both = here.keys() & there.keys()
        worst = [over(here[one], there[one]) or 0.0 for one in both]
        total = over(sum(here[one] for one in both), sum(there[one] for one in both))
        return total, max(worst, default=None), len(both)
    if DIFFERENT in {one.mode for one in (*ours, *theirs)}:
        return None, None, 0
    return over(middle(ours, "sent"), middle(theirs, "sent")), None, 1


def speed(ours: Sequence[Measured], theirs: Sequence[Measured]) -> float | None:
    """Requests per second in theirs.

    Where one has not come to all that the other has answered, as :func:`sent` over what both have,
    and round by round: one may ask for ten times what another does. So many connections, each with
    its next request as soon as it has an answer, make them at the rate of their number by the mean
    wait.
    """
    rounds = []
    apart = False
    for number in sorted({one.number for one in theirs}):
        here, there = waited(ours, number), waited(theirs, number)
        both = here.keys() & there.keys()
        apart = apart or here.keys() != there.keys()
        rounds.append(over(sum(there[one] for one in both), sum(here[one] for one in both)))
    found = [one for one in rounds if one is not None]
    if apart and found and DIFFERENT in {one.mode for one in (*ours, *theirs)}:
        return median(found)
    return over(middle(ours, "per_second"), middle(theirs, "per_second"))


def waited(rounds: Sequence[Measured], number: int) -> dict[str, float]:
    """Milliseconds by conversation, of the rounds of this number."""
    found: dict[str, list[float]] = {}
    for one in rounds:
        if one.number == number:
            for conversation, took in one.took_ms.items():
                found.setdefault(conversation, []).append(took)
    return {conversation: mean(times) for conversation, times in found.items()}


class Results:
    """Rounds, sorted by row and server."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self.all: dict[str, dict[str, list[Measured]]] = {}
        """By row and server, disturbed ones too: no neighbour changes what is answered."""
        for one in measured:
            self.all.setdefault(one.row, {}).setdefault(one.server, []).append(one)
        self.by_row = {
            row: {server: undisturbed(rounds) for server, rounds in servers.items()}
            for row, servers in self.all.items()
        }

    def reference(self, row: str) -> str:
        """Whom the others are compared with."""
        servers = self.by_row[row]
        return GIT if GIT in servers else DULWICH if DULWICH in servers else next(iter(servers))

    def ratios(self, row: str, server: str) -> Ratios | None:
        """Against git daemon, or against the first server where that is not in the row."""
        theirs = self.by_row[row].get(self.reference(row), [])
        ours = self.by_row[row].get(server, [])
        if not theirs or not ours or theirs is ours:
            return None
        return Ratios(
            speed(ours, theirs),
            over(middle(theirs, "cpu_ms"), middle(ours, "cpu_ms")),
            over(middle(theirs, "first_p50_ms"), middle(ours, "first_p50_ms")),
            over(middle(theirs, "memory"), middle(ours, "memory")),
            *sent(self.all[row][server], self.all[row][self.reference(row)]),
        )

    def of_limit(self, row: str, server: str) -> float | None:
        """How many times longer a request takes than one ``sendfile`` of the answer."""
        ours = self.by_row[row].get(server)
        if not ours:
            return None
        for servers in self.by_row.values():
            limit = servers.get(LIMIT)
            if limit and asked(limit[0]) == asked(ours[0]):
                return over(middle(ours, "p50_ms"), middle(limit, "p50_ms"))
        return None


COLUMNS = ("req/s", "CPU ms", "p50 ms", "p99 ms", "first ms", "MB sent", "peak MB")
RATIOS = ("x req/s", "x CPU", "x memory", "bytes", "worst", "of limit")
"""Better than git daemon by; bytes in its bytes, and of the single request where that is most; the
time in the limit's time."""
BETTER = attrgetter("speed", "cpu", "memory", "sent", "worst")
WIDTH = 9
NAME, SERVER = 56, 18


def row(rounds: Sequence[Measured]) -> list[float]:
    """One server's numbers, in the order of :data:`COLUMNS`."""
    return [
        middle(rounds, "per_second"),
        middle(rounds, "cpu_ms"),
        middle(rounds, "p50_ms"),
        middle(rounds, "p99_ms"),
        middle(rounds, "first_p50_ms"),
        middle(rounds, "sent") / 1e6,
        middle(rounds, "memory") / 1e6,
    ]


def number(value: float | None) -> str:
    """In few digits."""
    if value is None:
        return f"{'-':>{WIDTH}}"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    return f"{value:{WIDTH}.{digits}f}"


def table(measured: Sequence[Measured], title: bool = True) -> str:
    """A line a server; ratios above 1 are better than git daemon."""
    results = Results(measured)
    lines = []
    if title:
        heads = "".join(f"{column:>{WIDTH}}" for column in (*COLUMNS, *RATIOS))
        lines.append(f"{'':{NAME}}{'':{SERVER}}{heads}")
    for name, servers in results.by_row.items():
        shown = name
        for server in sorted(servers, key=lambda one: ORDER.index(one) if one in ORDER else 99):
            rounds = servers[server]
            numbers = "".join(map(number, row(rounds)))
            ratios = results.ratios(name, server)
            compared = BETTER(ratios) if ratios else (None,) * len(RATIOS[:-1])
            numbers += "".join(map(number, (*compared, results.of_limit(name, server))))
            failed = sum(one.errors for one in rounds)
            trouble = f"  {failed} FAILED" if failed else ""
            lines.append(f"{shown:{NAME}}{server:{SERVER}}{numbers}{trouble}")
            shown = ""
    return "\n".join(lines)


def summary(measured: Sequence[Measured]) -> dict[str, dict[str, Any]]:
    """For programs and for plots: by row and server, medians and ratios."""
    results = Results(measured)
    out: dict[str, dict[str, Any]] = {}
    for name, servers in results.by_row.items():
        out[name] = {}
        for server, rounds in servers.items():
            ratios = results.ratios(name, server)
            values = dict(zip(COLUMNS, row(rounds), strict=True))
            out[name][server] = {key: round(value, 4) for key, value in values.items()} | {
                "rounds": len(rounds),
                "errors": sum(one.errors for one in rounds),
                "better": {
                    key: None if value is None else round(value, 3)
                    for key, value in (asdict(ratios) if ratios else {}).items()
                },
                "times the limit": results.of_limit(name, server),
            }
    return out


def save(path: Path, measured: Sequence[Measured], about: dict[str, Any]) -> None:
    """Everything, every round on a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounds = ",\n".join(f"  {json.dumps(asdict(one))}" for one in measured)
    shown = json.dumps({"about": about, "summary": summary(measured)}, indent=1).removesuffix("\n}")
    path.write_text(f'{shown},\n "rounds": [\n{rounds}\n ]\n}}\n')


def load(path: Path) -> list[Measured]:
    """The rounds of a stored file."""
    content = json.loads(path.read_text())
    return [Measured(**one) for one in content["rounds"]]


def compare(stored: Sequence[Measured], now: Sequence[Measured]) -> str:
    """What has changed, of our servers: the ratio to git daemon, and the numbers themselves."""
    before, after = Results(stored), Results(now)
    lines = [f"{'':{NAME}}{'':{SERVER}}{'x req/s':>20}{'req/s':>26}{'CPU ms':>26}"]
    for name, servers in after.by_row.items():
        for server in servers:
            old = before.by_row.get(name, {}).get(server)
            if old is None or server not in {OURS, CACHED}:
                continue
            new = servers[server]
            ratios = [one.ratios(name, server) for one in (before, after)]
            speeds = [None if one is None else one.speed for one in ratios]
            line = f"{name:{NAME}}{server:{SERVER}}" + change(speeds[0], speeds[1], width=20)
            for what in ("per_second", "cpu_ms"):
                line += change(middle(old, what), middle(new, what), width=26)
            lines.append(line)
    missing = [name for name in before.by_row if name not in after.by_row]
    if missing:
        lines.append(f"not measured this time: {'; '.join(missing)}")
    return "\n".join(lines)


def change(old: float | None, new: float | None, width: int) -> str:
    """From, to, and by how much."""
    if not old or not new:
        return f"{'-':>{width}}"
    text = f"{number(old).strip()} -> {number(new).strip()} {(new / old - 1) * 100:+.0f}%"
    return f"{text:>{width}}"
