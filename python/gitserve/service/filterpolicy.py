"""Which filters a repository lets clients use.

In: configuration. Out: :class:`FilterRules`. Implements ``uploadpackfilter.allow``,
``uploadpackfilter.<filter>.allow`` and ``uploadpackfilter.tree.maxDepth`` of git-config(1).
"""

from __future__ import annotations

from gitserve.repository.config import Config, ConfigError
from gitserve.session.config import FilterRules

SECTION = "uploadpackfilter"


def filter_policy(config: Config) -> FilterRules:
    """Raises ConfigError for values that are none."""
    kinds = config.subsections(SECTION)
    if not kinds and f"{SECTION}.allow" not in config:
        return FilterRules()
    by_kind = {
        kind: config.get_bool(f"{SECTION}.{kind}.allow")
        for kind in kinds
        if f"{SECTION}.{kind}.allow" in config
    }
    depth: int | None = None
    key = f"{SECTION}.tree.maxdepth"
    if key in config:
        if config.get(key) is None:
            raise ConfigError(f"unable to parse '{key}' {config.origin(key)}")
        depth = config.get_int(key)
        # git takes a depth of its own for permission
        by_kind.setdefault("tree", True)
    return FilterRules(config.get_bool(f"{SECTION}.allow", True), by_kind, depth)
