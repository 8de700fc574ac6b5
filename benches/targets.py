"""What stored results say about the targets: ``python -m benches targets FOLDER``.

In: files that ``python -m benches --json`` wrote, one for each repository. Out: a page with a line
for each target and repository (what git daemon takes, what gitserve takes, how many times better,
what was asked), and a short form for the README. Targets are ratios of one run on one machine; what
is not a ratio says so.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches.aftermath import leftovers
from benches.peers import CACHED, GIT, OURS
from benches.report import Measured, Results, load, middle
from benches.starting import STDIO

SPEED, CPU, MEMORY, LIMIT_TIME, FIRST = "rate", "CPU", "memory", "time of the limit's", "ms"
MOST_BYTES = 1.02
LEAVINGS = 1.5
"""Reads after many pushes cost at most so many times the reads of the same content packed anew."""


@dataclass(frozen=True, slots=True)
class Target:
    """One of them."""

    work: str
    row: str
    """A pattern for the names of rows."""
    value: float
    what: str = SPEED
    server: str = OURS
    in_readme: bool = False

    @property
    def at_most(self) -> bool:
        return self.what in {LIMIT_TIME, FIRST}

    def met(self, found: float) -> bool:
        return found <= self.value if self.at_most else found >= self.value

    @property
    def asked(self) -> str:
        """In words."""
        times = "" if self.what == FIRST else "x"
        kind = "" if self.what == SPEED else f" {self.what}"
        return f"{'at most ' if self.at_most else ''}{self.value:g}{times}{kind}"


ONE_PACK = r"clone, no bitmap"
PACKS = r"clone, (as it is|40 packs and loose)"
TARGETS = (
    Target("ls-refs, 1,000 refs", r"ls-refs, 1000 refs, repeated", 12, in_readme=True),
    Target("ls-refs, {} refs", r"ls-refs, (\d{5,}) refs, repeated", 10, in_readme=True),
    Target("fetch, nothing new", r"fetch, nothing new, repeated", 15, in_readme=True),
    Target("fetch, 20 commits behind", r"fetch, 20 behind, different", 10, in_readme=True),
    Target("depth 1, every request different", r"clone, depth 1, different", 4, in_readme=True),
    Target("depth 1, repeated", r"clone, depth 1, repeated", 60, server=CACHED, in_readme=True),
    Target("clone with bitmap", r"clone, bitmap, all, different", 5, in_readme=True),
    Target("clone with bitmap", r"clone, bitmap, all, different", 6, CPU),
    Target(
        "clone with bitmap, a ref left out", r"clone, bitmap, part, different", 5, in_readme=True
    ),
    Target("clone with bitmap, a ref left out", r"clone, bitmap, part, different", 6, CPU),
    Target("clone with bitmap, repeated", r"clone, bitmap, repeated", 1.5, LIMIT_TIME, CACHED),
    Target("clone, no bitmap, repeated", rf"{ONE_PACK}, repeated", 1.5, LIMIT_TIME, CACHED),
    Target("clone, no bitmap, the first ever", rf"{ONE_PACK}, cold", 3, in_readme=True),
    Target("clone, no bitmap, the next", rf"{ONE_PACK}, different", 15, in_readme=True),
    Target("clone of many packs, the first ever", rf"{PACKS}, cold", 4),
    Target("clone of many packs, the next", rf"{PACKS}, different", 4, in_readme=True),
    Target("8 clones at once, different", r"8 clones at once, different", 5, in_readme=True),
    Target("8 clones at once, different", r"8 clones at once, different", 4, MEMORY),
    Target("8 clones at once, the same", r"8 clones at once, repeated", 7, server=CACHED),
    Target(
        "push of one commit, {} refs", r"push of one commit, (\d+) refs, .*", 10, in_readme=True
    ),
    Target("push of the whole repository", r"push, whole repository, .*", 2.5, in_readme=True),
    Target("push of the whole repository", r"push, whole repository, .*", 0.67, MEMORY),
    Target("`maintain --full`, `git repack -adf`", r"maintain --full, upkeep", 1),
    Target("bitmaps and commit-graph of one pack", r"maintain, bitmaps .*", 1),
    Target("upload-pack DIR, start to first byte", r"upload-pack DIR, .*", 60, FIRST),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One target on one repository."""

    target: Target
    work: str
    repository: str
    theirs: str
    ours: str
    found: float


def cost(rounds: Sequence[Measured]) -> str:
    """A rate where many ask at once, otherwise how long one waits; and the CPU time of each."""
    if rounds[0].connections > 1:
        rate = middle(rounds, "per_second")
        said = f"{rate:,.0f} /s" if rate >= 20 else f"{rate:.1f} /s"
    else:
        said = duration(middle(rounds, "p50_ms"))
    return f"{said}, {duration(middle(rounds, 'cpu_ms'))} CPU"


def duration(ms: float) -> str:
    """In seconds from one on."""
    if ms >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.2f} ms"


def measured(target: Target, results: Results, row: str) -> float | None:
    """What the target is about."""
    rounds = results.by_row[row].get(target.server)
    if not rounds:
        return None
    if target.what == LIMIT_TIME:
        return results.of_limit(row, target.server)
    if target.what == FIRST:
        return middle(rounds, "first_p50_ms")
    ratios = results.ratios(row, target.server)
    if ratios is None:
        return None
    return {SPEED: ratios.speed, CPU: ratios.cpu, MEMORY: ratios.memory}[target.what]


def lines(stored: dict[str, list[Measured]]) -> Iterator[Line]:
    """Every target on every repository where its row was measured."""
    for target in TARGETS:
        for repository, rounds in stored.items():
            results = Results(rounds)
            for row, servers in results.by_row.items():
                match = re.fullmatch(target.row, row)
                found = measured(target, results, row) if match and GIT in servers else None
                if match is None or found is None:
                    continue
                numbers = [f"{int(one):,}" for one in match.groups() if one and one.isdigit()]
                theirs, ours = servers[GIT], servers[target.server]
                if target.what == MEMORY:
                    said = [f"{middle(one, 'memory') / 1e6:.0f} MB" for one in (theirs, ours)]
                elif target.what == FIRST:
                    said = [duration(middle(one, "first_p50_ms")) for one in (theirs, ours)]
                else:
                    said = [cost(theirs), cost(ours)]
                if target.server == CACHED:
                    said[1] += " (with `--pack-cache`)"
                work = target.work.format(*numbers)
                yield Line(target, work, repository, said[0], said[1], found)


def times(value: float) -> str:
    """A ratio in few digits."""
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 3 else f"{value:.2f}"


def table(found: Sequence[Line]) -> str:
    """For people who want to know which are met."""
    out = ["| work | repository | git daemon | gitserve | better by | asked | |"]
    out.append("|---|---|---|---|---|---|---|")
    for one in found:
        target = one.target
        got = times(one.found)
        unit = " ms" if target.what == FIRST else f"x {target.what}".replace("x rate", "x")
        verdict = "met" if target.met(one.found) else "**missed**"
        cells = (one.work, one.repository, one.theirs, one.ours, got + unit, target.asked, verdict)
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def bytes_sent(stored: dict[str, list[Measured]]) -> list[str]:
    """Where gitserve sends more than git, where both were asked for the same."""
    worst: list[tuple[float, str]] = []
    single: list[tuple[float, str]] = []
    for repository, rounds in stored.items():
        results = Results(rounds)
        for row, servers in results.by_row.items():
            ours, theirs = servers.get(OURS), servers.get(GIT)
            # A process's first words are no pack.
            if not ours or not theirs or ours[0].mode == STDIO:
                continue
            ratios = results.ratios(row, OURS)
            if ratios and ratios.sent:
                worst.append((ratios.sent, f"{row} ({repository})"))
            if ratios and ratios.worst and ratios.compared > 1:
                many = f"{ratios.compared} that both have answered"
                single.append((ratios.worst, f"one of {many}, {row} ({repository})"))
    over = [f"{row}: {ratio:.3f}" for ratio, row in sorted(worst) if ratio > MOST_BYTES]
    if not worst:
        return []
    ratio, row = max(worst)
    said = f"Bytes sent, in git's, at most 1.02 asked: {'**missed**' if over else 'met'};"
    out = [f"{said} the most is {ratio:.3f}, {row}."] + [f"- {one}" for one in over[:-1]]
    if single:
        ratio, which = max(single)
        out.append(f"Of single requests the most is {ratio:.3f}: {which}.")
    return out


def rolled_up(stored: dict[str, list[Measured]]) -> list[str]:
    """What many pushes leave behind."""
    out = []
    for repository, rounds in stored.items():
        for one in leftovers(rounds):
            verdict = "met" if max(one.cpu, one.wait) <= LEAVINGS else "**missed**"
            judged = f"; at most {LEAVINGS} asked: {verdict}" if one.server == OURS else ""
            out.append(f"- {repository}: {one}{judged}")
    return out


def short(found: Sequence[Line]) -> str:
    """For the README: one line for each kind of work, on the first repository that has it."""
    out = ["| | git daemon | gitserve | times |", "|---|---|---|---|"]
    seen = set()
    for one in found:
        if one.target.in_readme and one.work not in seen:
            seen.add(one.work)
            name = f"{one.work} ({one.repository})"
            out.append(f"| {name} | {one.theirs} | {one.ours} | {times(one.found)} |")
    return "\n".join(out)


def between(path: Path, name: str, content: str) -> None:
    """Puts the text between the marks with this name in a file."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = path.read_text()
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise RuntimeError(f"{path.name} has no {begin} ... {end}")
    path.write_text(f"{before}{begin}\n{content}\n{end}{after}")


def command_of(folder: Path) -> str:
    """What the page of the folder says it was made with; nothing where it does not say."""
    path = folder / "README.md"
    text = path.read_text() if path.exists() else ""
    said = re.search(r"^<!-- results -->\n {4}(\S.*)$", text, re.MULTILINE)
    return said[1] if said else ""


def machine_line(about: dict[str, Any]) -> str:
    """Where and with what."""
    return (
        f"{about['git']}, {about['processors']} processors ({about['processor']}), "
        f"{about['memory GB']} GB, {about['system']}, Python {about['python']}"
    )


def repositories(folder: Path) -> tuple[dict[str, list[Measured]], list[str], str]:
    """The rounds by repository, what each repository is, and the machine."""
    stored: dict[str, list[Measured]] = {}
    about, machine = [], ""
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text())
        if "rounds" not in content or GIT not in {one["server"] for one in content["rounds"]}:
            continue
        stored[path.stem] = load(path)
        what = content["about"]["repository"]
        objects, packs = what["in-pack"] + what["count"], what["packs"]
        size = (what["size-pack"] + what["size"]) / 1000
        about.append(
            f"- {path.stem}: {objects:,} objects, {size:,.0f} MB, {packs} packs,"
            f" {what['refs']:,} refs"
        )
        machine = machine_line(content["about"])
    return stored, about, machine


def publish(folder: Path, readme: Path | None, command: str = "") -> None:
    """Writes the page of the folder, and the README's numbers.

    ``command``: what made the results; without it the page goes on saying what it says.
    """
    stored, about, machine = repositories(folder)
    command = command or command_of(folder)
    found = list(lines(stored))
    page = [f"{machine}." if machine else "Nothing measured.", *about, "", table(found), ""]
    page += [*bytes_sent(stored), *rolled_up(stored)]
    if command:
        page = [f"    {command}", "", *page]
    text = "\n".join(page)
    print("\n" + text)
    if (folder / "README.md").exists():
        between(folder / "README.md", "results", text)
    if readme is not None:
        between(readme, "results", f"{machine}; medians:\n\n{short(found)}")


def main(words: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches targets", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readme", type=Path, help="write the numbers into this file")
    options = parser.parse_args(words)
    publish(options.folder, options.readme)
