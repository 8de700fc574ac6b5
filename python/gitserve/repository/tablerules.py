"""How reftables are written, as the repository's configuration has it.

In: configuration. Out: numbers for the core. Implements ``reftable.*`` of git-config(1), but for
``reftable.indexObjects``: the map that it is about is optional, and nobody reads it. Must not know
tables.
"""

from __future__ import annotations

from gitserve.record import Record
from gitserve.repository.config import Config, ConfigError

MAX_BLOCK_SIZE = (1 << 24) - 1
MAX_RESTART_INTERVAL = (1 << 16) - 1
MAX_GEOMETRIC_FACTOR = (1 << 8) - 1
"""What the format has room for."""


class TableRules(Record):
    """0 is git's default."""

    block_size: int = 0
    restart_interval: int = 0
    geometric_factor: int = 0
    lock_timeout: int | None = None
    """Milliseconds; below 0: for ever."""


def table_rules(config: Config) -> TableRules:
    """Raises :class:`~gitserve.repository.config.ConfigError`."""
    timeout = "reftable.locktimeout"
    return TableRules(
        _within(config, "reftable.blocksize", MAX_BLOCK_SIZE),
        _within(config, "reftable.restartinterval", MAX_RESTART_INTERVAL),
        _within(config, "reftable.geometricfactor", MAX_GEOMETRIC_FACTOR),
        config.get_int(timeout) if timeout in config else None,
    )


def _within(config: Config, key: str, most: int) -> int:
    number = config.get_int(key)
    if not 0 <= number <= most:
        raise ConfigError(f"{key} cannot exceed {most}: {number} {config.origin(key)}")
    return number
