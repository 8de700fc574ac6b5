"""Which refs a repository hides, and from whom.

In: configuration. Out: the patterns for :meth:`gitserve._core.RefSnapshot.hidden`, which matches
the refs that exist, and :func:`is_hidden` for names that may not. Implements ``transfer.hideRefs``,
``uploadpack.hideRefs`` and ``receive.hideRefs`` of git-config(1).
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from gitserve._core import RefSnapshot
from gitserve.repository.config import Config


def hidden_patterns(config: Config, section: str, namespace: bytes = b"") -> tuple[bytes, ...]:
    """The patterns for ``section`` ("uploadpack" or "receive"), lowest rank first.

    Those of ``transfer`` and of the section itself make one list, in the order in which they stand.
    In a namespace names are matched as they are called in it, those behind ``^`` in full.
    """
    patterns = config.derived(_of_uploads if section == "uploadpack" else _of_pushes)
    if not namespace or not patterns:
        return patterns
    return tuple(within for pattern in patterns for within in _within(pattern, namespace))


def _of_uploads(config: Config) -> tuple[bytes, ...]:
    return _configured(config, "uploadpack.hiderefs")


def _of_pushes(config: Config) -> tuple[bytes, ...]:
    return _configured(config, "receive.hiderefs")


def _configured(config: Config, key: str) -> tuple[bytes, ...]:
    values = config.get_merged("transfer.hiderefs", key)
    return tuple([os.fsencode(value.rstrip("/") or value) for value in values])


def _within(pattern: bytes, namespace: bytes) -> tuple[bytes, ...]:
    """The pattern for the short names of a namespace; nothing when it concerns others only."""
    shows = pattern[:1] if pattern.startswith(b"!") else b""
    rest = pattern[len(shows) :]
    if not rest.startswith(b"^"):
        return (pattern,)
    full = rest[1:]
    if full.startswith(namespace):
        return (shows + full[len(namespace) :],)
    if namespace.startswith(full + b"/"):
        return (shows + b"refs", shows + b"HEAD")
    return ()


def without(refs: RefSnapshot, patterns: Sequence[bytes]) -> RefSnapshot:
    """The refs without these. HEAD goes with the branch that it stands for, unless it is named."""
    if not patterns:
        return refs
    branch = refs.symbolic(b"HEAD")
    if branch is not None and is_hidden(branch, patterns):
        patterns = (b"HEAD", *patterns)
    return refs.hidden(patterns)


def is_hidden(name: bytes, patterns: Sequence[bytes]) -> bool:
    """The last pattern that matches decides; ``!`` shows again, ``^`` means the name in full."""
    for pattern in reversed(patterns):
        shows = pattern.startswith(b"!")
        bare = pattern[1:] if shows else pattern
        bare = bare.removeprefix(b"^")
        if bare and (name == bare or name.startswith(bare + b"/")):
            return not shows
    return False
