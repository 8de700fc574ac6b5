"""``gitserve maintain``: keeps repositories in order, as ``git gc`` does, without git.

In: arguments. Out: an exit status, a summary for a person or a program, progress on a terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from gitserve.errors import Busy, GitServeError, NoRepository
from gitserve.repository.locate import locate
from gitserve.repository.native import NativeRepository
from gitserve.repository.ownership import check_ownership
from gitserve.service.rolling import note_outcome, rolled_from
from gitserve.service.upkeep import Least, Report, maintain, seconds_of

EXIT_FAILED = 1
EXIT_USAGE = 129

AUTO_NICE = 19
"""Requests come first."""

BAR = 24
"""Characters of a progress bar."""


def run(words: Sequence[str]) -> int:
    """The command; its exit status: 0, 1 when a repository failed, 129 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="gitserve maintain",
        description="Packs loose objects and small packs, so that repositories stay fast. Others "
        "may read, push and run git meanwhile.",
    )
    parser.add_argument("repository", nargs="+", metavar="REPO")
    parser.add_argument(
        "--full", action="store_true",
        help="everything into one pack with new deltas; what no ref or reflog leads to is set "
        "apart, and removed when it is older than the grace time",
    )  # fmt: skip
    parser.add_argument(
        "--prune", metavar="TIME",
        help="the grace time in place of gc.pruneExpire (2.weeks.ago), or never; used by --full",
    )  # fmt: skip
    parser.add_argument(
        "--auto", action="store_true",
        help="only where pushes have left enough behind, and slowly; off where gc.auto is 0",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=0, help="0: as many as processors")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each repository")
    parser.add_argument("-q", "--quiet", action="store_true", help="only errors")
    parser.add_argument("-v", "--verbose", action="store_true", help="a summary in any case")
    try:
        chosen = parser.parse_args(words)
        if chosen.prune is not None:
            seconds_of(chosen.prune)
    except SystemExit as ended:
        return EXIT_USAGE if ended.code else 0
    except GitServeError as error:
        sys.stderr.write(f"fatal: {error}\n")
        return EXIT_USAGE
    # one that fails does not keep the others from their turn
    try:
        return max([_one(path, chosen) for path in chosen.repository])
    except KeyboardInterrupt:
        return 130


def _one(path: str, chosen: argparse.Namespace) -> int:
    bars = Bars(sys.stderr) if sys.stderr.isatty() and not chosen.quiet else None
    repository: NativeRepository | None = None
    began = time.monotonic()
    try:
        location = locate(path)
        if location is None:
            raise NoRepository(f"'{path}' does not appear to be a git repository")
        check_ownership(location, os.environ)
        repository = NativeRepository(location, os.environ)
        least = Least()
        if chosen.auto:
            limits = rolled_from(repository.config)
            if limits is None:
                return 0
            least = Least(*limits)
            os.nice(AUTO_NICE)
        report = maintain(
            repository,
            least=least,
            full=chosen.full,
            grace=chosen.prune,
            threads=max(0, chosen.threads),
            on_progress=_ignore if bars is None else bars.show,
        )
    except (GitServeError, OSError) as error:
        word = "warning" if isinstance(error, Busy) else "error"
        if repository is not None and chosen.auto and word == "error":
            note_outcome(repository.common_dir, str(error))
        sys.stderr.write(f"{word}: {path}: {error}\n")
        return EXIT_FAILED
    finally:
        if bars is not None:
            bars.end()
    # what is damaged would be found out anew behind each push
    is_in_vain = chosen.auto and report.damaged
    note_outcome(repository.common_dir, "; ".join(report.warnings) if is_in_vain else None)
    for warning in report.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    seconds = time.monotonic() - began
    if chosen.json:
        told = {name: getattr(report, name) for name in Report._fields}
        print(json.dumps({"repository": path, "seconds": round(seconds, 3), **told}))
    elif chosen.verbose or (sys.stdout.isatty() and not chosen.quiet):
        print(f"{path}: {summary(report)} ({seconds:.1f} s)")
    return 0


def _ignore(_title: str, _done: int, _total: int | None, _over: bool) -> None:
    """Without a terminal; that it is called lets an interrupt come through."""


def summary(report: Report) -> str:
    """What a person wants to know."""
    before = _stock(report.packs_before, report.loose_before)
    after = _stock(report.packs_after, report.loose_after)
    if not report.packed and not report.pruned and before == after:
        told = f"in order already, {after}, {size(report.bytes_after)}"
        return told + (f"; {_count(report.refs, 'ref')} packed" if report.refs else "")
    saved = report.bytes_before - report.bytes_after
    change = f"{size(saved)} saved" if saved >= 0 else f"{size(-saved)} more"
    told = f"{before} became {after}, {change}, {size(report.bytes_after)} now"
    if report.set_apart:
        told += f"; {_count(report.set_apart, 'unreachable object')} kept for a while"
    if report.refs:
        told += f"; {_count(report.refs, 'ref')} packed"
    if report.pruned:
        told += f"; {_count(report.pruned, 'object')} pruned"
    return told


def _stock(packs: int, loose: int) -> str:
    stock = _count(packs, "pack")
    return f"{stock} and {_count(loose, 'loose object')}" if loose else stock


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def size(number: float) -> str:
    """``12.3 MiB``."""
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


class Bars:
    """Progress on a terminal, a line for each stage."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._open = False

    def show(self, title: str, done: int, total: int | None, over: bool) -> None:
        """How far a stage is."""
        if total:
            part = min(done, total) / total
            bar = "#" * int(part * BAR)
            text = f"{title:<20} [{bar:<{BAR}}] {part:4.0%} {done:,}/{total:,}"
        else:
            text = f"{title:<20} {done:,}"
        self._out.write(f"\r{text}\x1b[K" + ("\n" if over else ""))
        self._out.flush()
        self._open = not over

    def end(self) -> None:
        """Leaves the line."""
        if self._open:
            self._out.write("\n")
            self._out.flush()
