"""Whose a repository is: git's rule against serving what a stranger prepared.

In: the folders of a repository. Out: nothing, or :class:`DubiousOwnership` with git's words.
Implements ``safe.directory`` of git-config(1). Only the stdio services ask; a daemon serves the
folders that its operator named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitserve.errors import Refused
from gitserve.repository.config import ConfigFiles
from gitserve.repository.locate import Location


class DubiousOwnership(Refused):
    """Somebody else owns the repository, and nobody has said that this is fine."""


def check_ownership(location: Location, environ: Mapping[str, str] | None = None) -> None:
    """Raises :class:`DubiousOwnership` unless we own the folders or ``safe.directory`` has them."""
    env = os.environ if environ is None else environ
    me = _user(env)
    folders = dict.fromkeys((location.git_dir, location.common_dir))
    if all(os.lstat(folder).st_uid == me for folder in folders):
        return
    if _declared_safe(location.git_dir, env):
        return
    raise DubiousOwnership(
        f"detected dubious ownership in repository at '{location.git_dir}'\n"
        "To add an exception for this directory, call:\n\n"
        f"\tgit config --global --add safe.directory {location.git_dir}"
    )


def _user(environ: Mapping[str, str]) -> int:
    """Who started us; under sudo the person behind it, as git-config(1) says."""
    me = os.geteuid()
    if me == 0:
        behind = environ.get("SUDO_UID", "")
        if behind.isdecimal() and len(behind) < 12:
            return int(behind)
    return me


def _declared_safe(git_dir: str, environ: Mapping[str, str]) -> bool:
    real = os.path.realpath(git_dir)
    safe = False
    # read without a repository: what its owner wrote must not vouch for it
    for value in ConfigFiles(environ=environ).current().get_all("safe.directory"):
        if value == "":
            safe = False
        elif value == "*":
            safe = True
        elif value == ".":
            safe = safe or os.path.realpath(".") == real
        elif value.endswith("/*"):
            parent = os.path.realpath(os.path.expanduser(value[:-2]))
            safe = safe or real.startswith(parent.rstrip("/") + "/")
        else:
            safe = safe or os.path.realpath(os.path.expanduser(value)) == real
    return safe
