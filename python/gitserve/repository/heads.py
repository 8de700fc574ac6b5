"""The branch that a folder's HEAD names, without knowing the repository's configuration.

In: the folder with HEAD, of a repository or a linked worktree. Out: the branch's full name.
Git's documents: gitrepository-layout(5); reftable, "Backward compatibility": where refs are kept in
tables, the file HEAD names a branch that cannot be.
"""

from __future__ import annotations

import os

from gitserve._core import RefStore
from gitserve.errors import GitServeError

IN_TABLES = b"refs/heads/.invalid"
"""What HEAD's file names when HEAD is not in it."""

MAX_HEAD = 8 << 10
"""Bytes of a HEAD file: one ref name."""


def symbolic_head(git_dir: str, common_dir: str) -> bytes | None:
    """The branch that HEAD names, None when it is detached, missing or not to be read."""
    try:
        with open(os.path.join(git_dir, "HEAD"), "rb") as file:
            line = file.read(MAX_HEAD)
    except OSError:
        return None
    if not line.startswith(b"ref:"):
        return None
    target = line[4:].strip()
    return _in_tables(git_dir, common_dir) if target == IN_TABLES else target


def tables_list(git_dir: str) -> str:
    """The file that changes whenever a ref in tables does."""
    return os.path.join(git_dir, "reftable", "tables.list")


def _in_tables(git_dir: str, common_dir: str) -> bytes | None:
    common = None if common_dir == git_dir else common_dir
    for object_format in ("sha1", "sha256"):
        try:
            return RefStore(git_dir, common, object_format, "reftable").snapshot().symbolic(b"HEAD")
        except GitServeError:
            continue  # tables of the other format are none of this one
    return None
