"""How much a pushed pack may ask for, where somebody has said it.

In: the configuration. Out: git's ``receive.maxInputSize``, and limits that git has not:
``gitserve.maxObjects``, ``gitserve.maxObjectSize``, ``gitserve.maxDeltaDepth``,
``gitserve.maxInflation``, ``gitserve.maxResolveSeconds``, ``gitserve.resolveMemory``. None: what
the core has for them.
"""

from __future__ import annotations

import sys

from gitserve.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from gitserve.repository.config import Config

MOST = 0xFFFF_FFFF
"""Objects of a pack, deltas of a chain: what no pack has more of."""

LEAST_MEMORY = 1 << 20


class ReceiveRules(Record):
    """Limits on one received pack."""

    pack_bytes: int
    """0: no limit."""
    objects: int | None
    object_bytes: int | None
    """Of one, inflated."""
    depth: int | None
    """Of delta chains."""
    inflation: int | None
    """Times its size that a pack may inflate to, beyond 64 GiB; 0: no limit."""
    seconds: int | None
    """That deltas may take when all has come; 0: no limit."""
    memory: int | None
    """Bytes for what is kept meanwhile."""


def receive_rules(config: Config) -> ReceiveRules:
    """Raises RepositoryError for values that are no numbers. Of all but the memory 0 is no limit,
    as in git."""
    objects = _given(config, "gitserve.maxobjects")
    depth = _given(config, "gitserve.maxdeltadepth")
    size = _given(config, "gitserve.maxobjectsize")
    memory = _given(config, "gitserve.resolvememory")
    return ReceiveRules(
        pack_bytes=max(0, config.get_int("receive.maxinputsize", 0)),
        objects=None if objects is None else min(objects or MOST, MOST),
        object_bytes=None if size is None else size or sys.maxsize,
        depth=None if depth is None else min(depth or MOST, MOST),
        inflation=_given(config, "gitserve.maxinflation"),
        seconds=_given(config, "gitserve.maxresolveseconds"),
        memory=None if memory is None else max(memory, LEAST_MEMORY),
    )


def _given(config: Config, key: str) -> int | None:
    return max(0, config.get_int(key, 0)) if key in config else None
