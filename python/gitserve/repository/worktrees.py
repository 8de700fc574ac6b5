"""The work trees of a repository, and which branch each has checked out.

In: the repository's folder. Out: :class:`Worktree` values. Git's document: gitrepository-layout(5),
``worktrees``; git-worktree(1). Must not change anything.
"""

from __future__ import annotations

import os

from gitserve.record import Record
from gitserve.repository.heads import symbolic_head


class Worktree(Record):
    """One whose HEAD names a branch."""

    git_dir: str
    """Where its HEAD and index are."""
    folder: str
    """Where its files are."""
    branch: bytes
    """The full name of the ref."""


def worktrees(common_dir: str, *, is_bare: bool, main: str | None = None) -> list[Worktree]:
    """The main one first; a bare repository's HEAD is none. ``main``: ``core.worktree``."""
    found: list[Worktree] = []
    if not is_bare:
        head = symbolic_head(common_dir, common_dir)
        if head is not None:
            folder = os.path.join(common_dir, main) if main else os.path.dirname(common_dir)
            found.append(Worktree(common_dir, folder, head))
    linked = os.path.join(common_dir, "worktrees")
    try:
        names = sorted(os.listdir(linked))
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in names:
        git_dir = os.path.join(linked, name)
        head = symbolic_head(git_dir, common_dir)
        if head is not None:
            found.append(Worktree(git_dir, _folder_of(git_dir), head))
    return found


def _folder_of(git_dir: str) -> str:
    """What ``gitdir`` names is the ``.git`` file in the work tree."""
    try:
        with open(os.path.join(git_dir, "gitdir"), "rb") as file:
            named = os.fsdecode(file.read(1 << 16).rstrip(b"\n"))
    except OSError:
        return git_dir
    return os.path.dirname(os.path.normpath(os.path.join(git_dir, named)))
