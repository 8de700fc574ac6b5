"""Keeping a repository in order: what ``gitserve maintain`` does to one of them.

In: a repository, and how thorough to be. Out: a :class:`Report`. Reads the configuration that
``git gc`` and ``git repack`` read; the work is the core's. Must not know terminals.
"""

from __future__ import annotations

from collections.abc import Callable

from gitserve._core import Upkeep
from gitserve.errors import Refused, RepositoryError
from gitserve.record import Record
from gitserve.repository.native import NativeRepository
from gitserve.repository.packrules import (
    big_file_threshold,
    compression,
    pack_depth,
    pack_threads,
    pack_window,
)
from gitserve.repository.sharing import sharing
from gitserve.repository.syncrules import sync_rules
from gitserve.service.rolling import graph_of, packs_refs, writes_bitmaps

DEFAULT_GRACE = "2.weeks.ago"
"""Of unreachable objects: ``gc.pruneExpire``."""

RECENT_OBJECTS = "gc.recentObjectsHook"
"""Programs that name objects which are to be kept."""

_SECONDS = {
    "second": 1,
    "minute": 60,
    "hour": 60 * 60,
    "day": 24 * 60 * 60,
    "week": 7 * 24 * 60 * 60,
    "month": 30 * 24 * 60 * 60,
    "year": 365 * 24 * 60 * 60,
}

Progress = Callable[[str, int, int | None, bool], None]
"""Title, done, in all, over."""


class Least(Record):
    """Below both, nothing is rolled up."""

    packs: int = 2
    loose: int = 1


class Report(Record):
    """What was there, what is there now, what was done. Sizes in bytes."""

    packs_before: int
    loose_before: int
    bytes_before: int
    packs_after: int
    loose_after: int
    bytes_after: int
    packed: int
    """Objects written into new packs."""
    set_apart: int
    """Objects that nothing names, kept for their grace time."""
    pruned: int
    """Objects removed for good."""
    refs: int = 0
    """Loose refs put into ``packed-refs``."""
    bitmaps: int = 0
    """Commits whose reachable objects are noted in a bitmap."""
    graphed: int = 0
    """Commits in a commit-graph that was written."""
    damaged: int = 0
    """Packs that were left alone because they are damaged."""
    warnings: tuple[str, ...] = ()


def maintain(
    repository: NativeRepository,
    *,
    full: bool = False,
    least: Least = Least(),  # noqa: B008  it never changes
    grace: str | None = None,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Report:
    """Rolls up loose objects and small packs; with ``full`` everything into one pack.

    ``grace`` is in the words of ``gc.pruneExpire``, which it replaces. Raises Busy when somebody
    else is at it, Refused where objects are precious, RepositoryError for what is broken.
    """
    config = repository.config
    if config.get_bool("extensions.preciousobjects"):
        raise Refused("objects of this repository are precious (extensions.preciousObjects)")
    words = grace or config.get("gc.pruneexpire") or DEFAULT_GRACE
    seconds = seconds_of(words)
    remarks: tuple[str, ...] = ()
    if full and seconds is not None and config.get(RECENT_OBJECTS.lower()):
        seconds, remarks = None, (f"{RECENT_OBJECTS} is not asked; so nothing is pruned",)
    upkeep = Upkeep(
        repository.common_dir,
        repository.objects_dir,
        repository.all_refs,
        repository.object_format,
        shallow=list(repository.shallow),
        sharing=sharing(config),
    )
    numbers, warnings = upkeep.run(
        full=full,
        least_packs=least.packs,
        least_loose=least.loose,
        grace=seconds,
        threads=threads or pack_threads(config),
        window=pack_window(config),
        depth=pack_depth(config),
        level=compression(config),
        big_file_threshold=big_file_threshold(config),
        fsync=set(sync_rules(config)),
        pack_refs=packs_refs(repository),
        write_bitmap=writes_bitmaps(repository),
        graph=graph_of(config),
        on_progress=on_progress,
    )
    return Report(**dict(numbers), warnings=(*remarks, *warnings))


def seconds_of(words: str) -> float | None:
    """``2.weeks.ago`` in seconds; None: never. Raises RepositoryError."""
    parts = [part for part in words.lower().replace(".", " ").split() if part != "ago"]
    if parts in (["never"], ["false"]):
        return None
    if parts in (["now"], ["all"]):
        return 0.0
    if parts and len(parts) % 2 == 0:
        total = 0
        for number, unit in zip(parts[::2], parts[1::2], strict=True):
            seconds = _SECONDS.get(unit.removesuffix("s"))
            if seconds is None or not number.isdecimal() or len(number) > 9:
                break
            total += int(number) * seconds
        else:
            return float(total)
    raise RepositoryError(f"cannot understand the time '{words}': say 2.weeks.ago, now or never")
