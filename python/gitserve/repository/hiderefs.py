"""Which refs a repository hides, and from whom.

In: configuration. Out: the patterns for :meth:`gitserve._core.RefSnapshot.hidden`, which matches
the refs that exist, and :func:`is_hidden` for names that may not. Implements ``transfer.hideRefs``,
``uploadpack.hideRefs`` and ``receive.hideRefs`` of git-config(1).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from gitserve.repository.config import Config


def hidden_patterns(config: Config, section: str) -> tuple[bytes, ...]:
    """The patterns for ``section`` ("uploadpack" or "receive"), lowest rank first.

    Git appends both keys to one list in the order in which they are read; here the transfer ones
    come first, so that a service's own patterns have the last word.
    """
    values = config.get_all("transfer.hiderefs") + config.get_all(f"{section}.hiderefs")
    return tuple(os.fsencode(value.rstrip("/") or value) for value in values)


def is_hidden(name: bytes, patterns: Sequence[bytes]) -> bool:
    """The last pattern that matches decides; ``!`` shows again, ``^`` means the name in full."""
    for pattern in reversed(patterns):
        shows = pattern.startswith(b"!")
        bare = pattern[1:] if shows else pattern
        bare = bare.removeprefix(b"^")
        if bare and (name == bare or name.startswith(bare + b"/")):
            return not shows
    return False
