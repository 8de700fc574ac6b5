"""How packs are made for this repository's clients, where somebody has said it.

In: the configuration. Out: ``pack.window``, ``pack.depth``, ``pack.windowMemory``,
``pack.compression``, ``pack.allowPackReuse``, ``pack.threads``, ``pack.useBitmaps`` and
``core.bigFileThreshold`` of git-config(1), within bounds. ``pack.island`` is none of them: git asks
for islands when it repacks, not when it serves.
"""

from __future__ import annotations

from gitserve.errors import RepositoryError
from gitserve.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from gitserve.repository.config import Config

MAX_WINDOW = 4095
"""Neighbours tried for each object. Beyond some hundreds nothing gets smaller."""

MAX_DEPTH = 4095
"""Of delta chains; git's own bound."""

MAX_THREADS = 256
"""Each has memory of its own, and a request more of them than processors is no faster."""

BIG_FILE = 512 << 20
"""Bytes from which on a blob is never looked at for deltas; git's default."""

REUSE = "pack.allowpackreuse"


class PackRules(Record):
    """What the search for deltas may cost, and what is copied without a look."""

    window: int
    depth: int
    window_memory: int
    """Bytes for each thread; 0: no bound but our own."""
    level: int
    """zlib's; -1: the usual one."""
    big_file_threshold: int
    reuse_packs: bool
    threads: int = 0
    """Of one request; 0: as many as processors."""
    use_bitmaps: bool = True


def pack_rules(config: Config) -> PackRules:
    """Raises RepositoryError for what makes no sense."""
    return PackRules(
        window=pack_window(config),
        depth=pack_depth(config),
        window_memory=max(0, config.get_int("pack.windowmemory", 0)),
        level=compression(config),
        big_file_threshold=big_file_threshold(config),
        reuse_packs=_reuse(config),
        threads=pack_threads(config),
        use_bitmaps=config.get_bool("pack.usebitmaps", True),
    )


def pack_threads(config: Config) -> int:
    """``pack.threads``. Raises RepositoryError for a number that is none of threads."""
    threads = config.get_int("pack.threads", 0)
    if threads < 0:
        where = config.origin("pack.threads")
        raise RepositoryError(f"invalid number of threads specified ({threads}) {where}")
    return min(threads, MAX_THREADS)


def pack_window(config: Config) -> int:
    """``pack.window``."""
    return min(max(0, config.get_int("pack.window", 10)), MAX_WINDOW)


def pack_depth(config: Config) -> int:
    """``pack.depth``."""
    return min(max(0, config.get_int("pack.depth", 50)), MAX_DEPTH)


def big_file_threshold(config: Config) -> int:
    """``core.bigFileThreshold``."""
    return max(0, config.get_int("core.bigfilethreshold", BIG_FILE))


def compression(config: Config) -> int:
    """zlib's level: ``pack.compression``, else ``core.compression``; -1: the usual one."""
    for key in ("pack.compression", "core.compression"):
        if config.get(key) is not None:
            level = config.get_int(key, -1)
            if not -1 <= level <= 9:
                raise RepositoryError(f"bad pack compression level {level}")
            return level
    return -1


def _reuse(config: Config) -> bool:
    """A word or a boolean. From how many packs parts are taken, the core decides by what they
    hold."""
    word = (config.get(REUSE) or "").lower()
    return word in ("single", "multi") or config.get_bool(REUSE, True)
