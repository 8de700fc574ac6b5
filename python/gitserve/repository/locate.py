"""From the path that a client names to the folders of a repository.

In: a path of the file system. Out: :class:`Location`, or None when no repository is there.
Follows git-upload-pack(1) (``--strict``: "Do not try <directory>/.git/ if <directory> is not a
Git directory"), gitrepository-layout(5) (``.git`` files, ``commondir``) and the order in which git
guesses ``.git``. Must not know who may see what: exports and ownership are others' questions.
"""

from __future__ import annotations

import os
from stat import S_ISDIR, S_ISREG

from gitserve.errors import RepositoryError
from gitserve.record import Record
from gitserve.repository.files import read_small

SUFFIXES = ("/.git", "", ".git/.git", ".git")
"""What git appends to a named path, in its order; the first that is a repository is taken."""

MAX_POINTER_FILE = 64 << 10
"""Bytes of a ``.git`` or ``commondir`` file: one path, many times the longest there is."""

_HEX = frozenset(b"0123456789abcdef")


class Location(Record):
    """Where a repository is. Absolute paths."""

    git_dir: str
    """HEAD, and all else that belongs to one worktree."""
    common_dir: str
    """Objects, refs, config, hooks; the same as ``git_dir`` unless it is a linked worktree's."""


def locate(path: str, *, strict: bool = False) -> Location | None:
    """The repository at ``path``, which guesses ``.git`` unless ``strict``.

    Raises RepositoryError when files cannot be read, never when there is simply none.
    """
    path = os.path.abspath(path)
    for suffix in ("",) if strict else SUFFIXES:
        candidate = path + suffix
        try:
            mode = os.stat(candidate).st_mode
        except OSError:
            continue
        if S_ISREG(mode):
            # as git does: the first that is either a folder of git's or a file that names one
            target = read_git_file(candidate)
            if target is not None:
                return location_of(target)
        elif S_ISDIR(mode):
            found = location_of(candidate)
            if found is None and strict:
                # a worktree's folder is not a repository, its .git is; even --strict follows files
                return None
            if found is not None:
                return found
    return None


def location_of(git_dir: str) -> Location | None:
    """This folder as a repository's, without guessing; None when it is none."""
    common_dir = read_common_dir(git_dir)
    if not _is_head(os.path.join(git_dir, "HEAD")):
        return None
    if not os.access(os.path.join(common_dir, "objects"), os.X_OK):
        return None
    if not os.access(os.path.join(common_dir, "refs"), os.X_OK):
        return None
    return Location(git_dir, common_dir)


def read_git_file(path: str) -> str | None:
    """The folder that a ``.git`` file names with ``gitdir:``; None when it is no such file."""
    try:
        content = read_small(path, MAX_POINTER_FILE)
    except RepositoryError:
        return None
    if content is None or not content[0].startswith(b"gitdir: "):
        return None
    target = os.fsdecode(content[0][len(b"gitdir: ") :].rstrip(b"\r\n"))
    if not target or "\0" in target:
        return None
    return os.path.normpath(os.path.join(os.path.dirname(path), target))


def read_common_dir(git_dir: str) -> str:
    """What a linked worktree shares with its repository; ``git_dir`` itself elsewhere."""
    content = read_small(os.path.join(git_dir, "commondir"), MAX_POINTER_FILE)
    if content is None:
        return git_dir
    target = os.fsdecode(content[0].rstrip(b"\r\n"))
    if not target or "\0" in target:
        raise RepositoryError(f"{git_dir}/commondir: names no folder")
    return os.path.normpath(os.path.join(git_dir, target))


def _is_head(path: str) -> bool:
    """A symbolic link into refs/, or a file that holds ``ref: refs/...`` or an object id."""
    try:
        target = os.readlink(path)
    except OSError:
        pass
    else:
        return target.startswith("refs/")
    try:
        content = read_small(path, MAX_POINTER_FILE)
    except RepositoryError:
        return False
    if content is None:
        return False
    data = content[0]
    if data.startswith(b"ref:"):
        return data[len(b"ref:") :].lstrip(b" \t").startswith(b"refs/")
    return len(data) >= 40 and _HEX.issuperset(data[:40])
