"""Which names a ref may have: git-check-ref-format(1).

In: a full ref name as bytes. Out: whether it is well-formed. Must not know which refs exist.
"""

from __future__ import annotations

MAX_REF_NAME = 4096
"""Bytes. A file system ends at 4096 for a whole path; beyond it a ref could not be stored."""

_FORBIDDEN = frozenset(b" ~^:?*[\\\x7f") | frozenset(range(32))


def is_well_formed(name: bytes, *, one_level: bool = False) -> bool:
    """``one_level`` allows a name without a slash, as git does for the part behind ``refs/``."""
    if not name or len(name) > MAX_REF_NAME or name == b"@":
        return False
    if not _FORBIDDEN.isdisjoint(name) or b".." in name or b"@{" in name or name.endswith(b"."):
        return False
    parts = name.split(b"/")
    if len(parts) == 1 and not one_level:
        return False
    return all(part and not part.startswith(b".") and not part.endswith(b".lock") for part in parts)
