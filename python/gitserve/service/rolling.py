"""What a push leaves behind is rolled up after it, now and then, as ``git gc --auto`` does.

In: a repository that has been pushed to. Out: work in the background, when it is due. Off where
``receive.autogc`` or ``maintenance.auto`` is false, and where ``gc.auto`` is 0. Must not know what
was pushed; is asked after every push, so it imports little.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from gitserve._core import Upkeep
from gitserve.errors import RepositoryError
from gitserve.record import TYPE_CHECKING
from gitserve.repository.native import NativeRepository
from gitserve.repository.packrules import pack_depth
from gitserve.repository.sharing import sharing
from gitserve.repository.syncrules import sync_rules

if TYPE_CHECKING:
    from typing import TypeAlias

    from gitserve.repository.config import Config

PACKS = 10
"""So many packs to be rolled up are worth it: readers do not feel them yet."""

LOOSE = 512
"""So many loose objects, about; git lets ``gc.auto`` of them (6,700) be."""

FAILURE = "gitserve-maintain.log"
"""In the repository, what went wrong last, where each push is a process: git's ``gc.log``."""

PAUSE = 60 * 60
"""Seconds after which it is tried again: it would otherwise fail with every push."""

ENDED_WITHIN = 5.0
"""Seconds that a process waits for its roll-up when it ends."""

IN_THREAD = "thread"
"""The process goes on: it is done there, on a thread of low priority."""

IN_PROCESS = "process"
"""The process ends with the push: another one is started, which belongs to nobody."""


def after_push(repository: NativeRepository, how: str) -> None:
    """Starts a roll-up if it is due.

    Raises RepositoryError for a configuration that is wrong, and, once, if the last one failed.
    """
    limits = rolled_from(repository.config)
    if limits is None:
        return
    upkeep = Upkeep(
        repository.common_dir,
        repository.objects_dir,
        repository.all_refs,
        repository.object_format,
        shallow=list(repository.shallow),
        sharing=sharing(repository.config),
    )
    packs, loose = limits
    failure = upkeep.untold_failure()
    if failure is not None:
        raise RepositoryError(f"{failure}; tried again in an hour")
    if not upkeep.is_due(packs, loose):
        return
    if how == IN_THREAD:
        import atexit  # not for processes of one push

        atexit.unregister(end_roll_ups)
        atexit.register(end_roll_ups)
        depth = pack_depth(repository.config)
        fsync = set(sync_rules(repository.config))
        upkeep.roll_up_soon(
            packs,
            loose,
            depth=depth,
            fsync=fsync,
            pack_refs=packs_refs(repository),
            write_bitmap=writes_bitmaps(repository),
            graph=graph_of(repository.config),
        )
    elif not failed_of_late(repository.common_dir):
        _start(repository)


def end_roll_ups() -> None:
    """Before the process ends: what is cut off leaves files behind that wait for the next one."""
    Upkeep.end_all(ENDED_WITHIN)


def failed_of_late(common_dir: str) -> bool:
    """Has the last roll-up by a process of its own failed within :data:`PAUSE`?"""
    try:
        age = time.time() - os.stat(os.path.join(common_dir, FAILURE)).st_mtime
    except OSError:
        return False
    return 0 <= age < PAUSE


def note_outcome(common_dir: str, failure: str | None) -> None:
    """Keeps what went wrong with a roll-up for those who come next, until one succeeds."""
    path = os.path.join(common_dir, FAILURE)
    with contextlib.suppress(OSError):
        if failure is None:
            os.unlink(path)
        else:
            with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(failure + "\n")


def packs_refs(repository: NativeRepository) -> bool:
    """``gc.packRefs``: true, false or ``notbare``."""
    value = repository.config.get("gc.packrefs")
    if value is not None and value.lower() == "notbare":
        return not repository.is_bare
    return repository.config.get_bool("gc.packrefs", True)


def writes_bitmaps(repository: NativeRepository) -> bool:
    """``repack.writeBitmaps``; without it, where nobody works."""
    return repository.config.get_bool("repack.writebitmaps", repository.is_bare)


Graph: TypeAlias = "tuple[bool, tuple[int, int | None, bool] | None]"
"""Corrected dates; filters: their version, or 0 for that which is there, how many new ones, and
whether a roll-up behind a push begins with them where there are none."""


def graph_of(config: Config) -> Graph | None:
    """What a commit-graph is to have; None: none is written."""
    if not config.get_bool("core.commitgraph", True):
        return None
    if not config.get_bool("gc.writecommitgraph", True):
        return None
    dates = config.get_int("commitgraph.generationversion", 2) >= 2
    if not config.get_bool("commitgraph.changedpaths", True):
        return dates, None
    version = config.get_int("commitgraph.changedpathsversion", -1)
    most_new = config.get_int("commitgraph.maxnewfilters", -1)
    # 0 is for readers: what is written then is of the first version
    versions = {-1: 0, 2: 2}
    is_asked_for = config.get("commitgraph.changedpaths") is not None
    return dates, (versions.get(version, 1), most_new if most_new >= 0 else None, is_asked_for)


def rolled_from(config: Config) -> tuple[int, int] | None:
    """From how many packs and loose objects on; None: never."""
    most_loose = config.get_int("gc.auto", 6700)
    if (
        most_loose <= 0
        or not config.get_bool("receive.autogc", True)
        or not config.get_bool("maintenance.auto", True)
        or config.get_bool("extensions.preciousobjects")
    ):
        return None
    most_packs = config.get_int("gc.autopacklimit", 50)
    packs = sys.maxsize if most_packs <= 0 else max(2, min(PACKS, most_packs))
    return packs, min(LOOSE, most_loose)


def _start(repository: NativeRepository) -> None:
    """``gitserve maintain --auto`` in a session of its own, without our pipes."""
    nothing = os.open(os.devnull, os.O_RDWR)
    environ = {name: value for name, value in os.environ.items() if name != "GIT_QUARANTINE_PATH"}
    words = [sys.executable, "-m", "gitserve", "maintain", "--auto", "--quiet", repository.git_dir]
    try:
        os.posix_spawn(
            sys.executable,
            words,
            environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, nothing, fd) for fd in (0, 1, 2)],
            setsid=True,
        )
    finally:
        os.close(nothing)
