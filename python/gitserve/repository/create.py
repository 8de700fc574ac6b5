"""Making a repository: the files and folders of gitrepository-layout(5).

In: a path and what the repository shall be. Out: nothing but what is then on disk, such as
``git init`` leaves it (without sample hooks). Must not know protocol or objects.
"""

from __future__ import annotations

import os

from gitserve.errors import RepositoryError

_FOLDERS = ("objects/info", "objects/pack", "refs/heads", "refs/tags", "hooks", "info")

DEFAULT_BRANCH = b"master"
"""What git itself still calls the first branch when nobody chose."""


def create(
    git_dir: str,
    *,
    bare: bool,
    object_format: str = "sha1",
    default_branch: bytes = DEFAULT_BRANCH,
) -> None:
    """Makes ``git_dir`` a repository. Files that are there already stay as they are.

    Raises RepositoryError naming the path that could not be made, ValueError for a format that
    Git does not have.
    """
    if object_format not in ("sha1", "sha256"):
        raise ValueError(f"unknown object format {object_format!r}")
    try:
        for folder in _FOLDERS:
            os.makedirs(os.path.join(git_dir, folder), exist_ok=True)
        # HEAD comes last: before it, nobody takes the folder for a repository
        _write_new(os.path.join(git_dir, "config"), _config(bare, object_format))
        _write_new(
            os.path.join(git_dir, "description"),
            b"Unnamed repository; edit this file 'description' to name the repository.\n",
        )
        _write_new(os.path.join(git_dir, "HEAD"), b"ref: refs/heads/%b\n" % default_branch)
    except OSError as error:
        raise RepositoryError(f"{error.filename or git_dir}: {error.strerror}") from error


def _config(bare: bool, object_format: str) -> bytes:
    version = 0 if object_format == "sha1" else 1
    lines = [
        "[core]",
        f"\trepositoryformatversion = {version}",
        "\tfilemode = true",
        f"\tbare = {str(bare).lower()}",
    ]
    if not bare:
        lines.append("\tlogallrefupdates = true")
    if version:
        lines += ["[extensions]", f"\tobjectformat = {object_format}"]
    return "\n".join([*lines, ""]).encode()


def _write_new(path: str, content: bytes) -> None:
    try:
        with open(path, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return
