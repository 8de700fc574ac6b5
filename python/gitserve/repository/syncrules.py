"""Which files a push waits for until the disk has them (``core.fsync`` of ``git-config``).

In: the configuration. Out: names of components. Where git's default leaves out what is slow, ours
is everything: a push that was answered with ``ok`` is there after a power failure. A repository
that names components gets what it asks for, with that default as the set it starts from.
"""

from __future__ import annotations

from gitserve.errors import RepositoryError
from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from gitserve.repository.config import Config

OURS = frozenset(("commit-graph", "loose-object", "pack", "pack-metadata", "reference"))
"""Those that a server writes; git's others are known, and nothing is done about them."""

_OBJECTS = frozenset(("loose-object", "pack"))
_AGGREGATES = {
    "objects": _OBJECTS,
    "committed": _OBJECTS,
    "added": _OBJECTS | {"index"},
    "derived-metadata": frozenset(("commit-graph", "pack-metadata")),
    "all": OURS | {"index"},
}
_METHODS = ("fsync", "batch", "writeout-only")


def sync_rules(config: Config) -> frozenset[str]:
    """The components to wait for. Raises RepositoryError for an unknown ``core.fsyncMethod``.

    An unknown component is passed over, as git does.
    """
    method = config.get("core.fsyncmethod") or "fsync"
    if method not in _METHODS:
        raise RepositoryError(f"unknown core.fsyncMethod '{method}'")
    if method == "writeout-only":
        return frozenset()
    rules = OURS
    value = config.get("core.fsync")
    if not value:
        return rules
    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    for word in value.split(","):
        name = word.strip()
        if name == "none":
            rules = added = removed = frozenset()
        elif name.startswith("-"):
            removed |= _AGGREGATES.get(name[1:], frozenset((name[1:],)))
        else:
            added |= _AGGREGATES.get(name, frozenset((name,)))
    return ((rules - removed) | added) & OURS
