"""Which refs a repository hides, and from whom.

In: configuration. Out: the patterns for :meth:`gitserve._core.RefSnapshot.hidden`. Implements
``transfer.hideRefs``, ``uploadpack.hideRefs`` and ``receive.hideRefs`` of git-config(1); the
matching itself (last match wins, ``!`` and ``^``) is the core's.
"""

from __future__ import annotations

import os

from gitserve.repository.config import Config


def hidden_patterns(config: Config, section: str) -> tuple[bytes, ...]:
    """The patterns for ``section`` ("uploadpack" or "receive"), lowest rank first.

    Git appends both keys to one list in the order in which they are read; here the transfer ones
    come first, so that a service's own patterns have the last word.
    """
    values = config.get_all("transfer.hiderefs") + config.get_all(f"{section}.hiderefs")
    return tuple(os.fsencode(value.rstrip("/") or value) for value in values)
