"""Which repositories a daemon serves, and under which paths.

In: the path that a client asks for. Out: a repository's location, or :class:`NotExported`. Follows
git-daemon(1): ``--base-path``, ``--base-path-relaxed``, ``--strict-paths``, ``--user-path``,
``--export-all``, ``--interpolated-path`` and the list of directories. Stricter than git in two
things, because clients are strangers: a symbolic link may not lead out of the folders that the
operator named, and no name may begin with a dash.
"""

from __future__ import annotations

import os

from gitserve.errors import GitServeError, Refused
from gitserve.record import Record
from gitserve.repository.locate import Location, locate
from gitserve.transport.hostnames import HostNames, fixed_part

MAX_PATH = 4096
"""Bytes of a requested path; what the operating system could not open anyway."""

EXPORT_MARK = "git-daemon-export-ok"
"""The file in a repository that allows it to be served."""


class NotExported(Refused):
    """There is nothing here for this client. ``brief`` is what ``--informative-errors`` tells."""

    def __init__(self, message: str, brief: bytes = b"no such repository") -> None:
        super().__init__(message)
        self.brief = brief


class Exports(Record):
    """The operator's rules. Folders are absolute."""

    base_path: str | None = None
    """Put before every requested path."""
    base_path_relaxed: bool = False
    """Try without it when there is nothing under it."""
    directories: tuple[str, ...] = ()
    """Only repositories in these; empty: anywhere (under ``base_path``, if there is one)."""
    strict_paths: bool = False
    """Take paths and directories literally: no ``.git`` guessed, no ``~``."""
    export_all: bool = False
    """Serve repositories without the file ``git-daemon-export-ok`` too."""
    user_path: str | None = None
    """None: no ``~user``. Else the folder within a home that ``~user`` means; "" is the home."""

    interpolated_path: str | None = None
    """For clients that say under which name they reach us: a template of :mod:`.hostnames`."""

    def find(self, requested: bytes, names: HostNames | None = None) -> Location:
        """Raises :class:`NotExported`; the reason is for the log."""
        path = _checked(requested)
        for candidate, root in self._candidates(path, names):
            try:
                location = locate(candidate, strict=self.strict_paths)
            except (GitServeError, OSError, ValueError) as error:
                raise NotExported(f"'{candidate}': {error}") from error
            if location is None:
                continue
            if not self._allows(location, root):
                raise NotExported(
                    f"'{location.git_dir}': not in directory list, or leads out of it"
                )
            mark = os.path.join(location.git_dir, EXPORT_MARK)
            if not self.export_all and not os.path.exists(mark):
                raise NotExported(
                    f"'{location.git_dir}': repository not exported.", b"repository not exported"
                )
            return location
        raise NotExported(f"'{path}' does not appear to be a git repository")

    def _candidates(self, path: str, names: HostNames | None) -> list[tuple[str, str | None]]:
        """What the path may mean: a folder, and the one that it must not leave."""
        if path.lstrip("/").startswith("~"):
            if self.strict_paths or self.user_path is None:
                raise NotExported(f"'{path}': User-path not allowed")
            user, _, rest = path.lstrip("/").partition("/")
            home = os.path.expanduser(user)
            if home == user:
                raise NotExported(f"'{path}': no such user")
            home = os.path.join(home, self.user_path).rstrip("/")
            return [(os.path.join(home, rest), home)]
        if not path.startswith("/"):
            raise NotExported(f"'{path}': aliased")
        if self.interpolated_path is not None and names is not None:
            try:
                made = names.interpolate(self.interpolated_path, path)
            except ValueError as error:
                raise NotExported(f"'{path}': {error}") from error
            return [(made, fixed_part(self.interpolated_path))]
        if self.base_path is None:
            return [(path, None)]
        based = (self.base_path.rstrip("/") + path, self.base_path)
        return [based, (path, None)] if self.base_path_relaxed else [based]

    def _allows(self, location: Location, root: str | None) -> bool:
        """Is it in the list by the name it was found by, and in the operator's folders for real?"""
        if self.directories or self.strict_paths:
            listed = (
                _within(location.git_dir, folder, exactly=self.strict_paths)
                for folder in self.directories
            )
            if not any(listed):
                return False
        roots = dict.fromkeys([*self.directories, *([root] if root is not None else ())])
        if not roots:
            return True
        real_roots = [os.path.realpath(folder) for folder in roots]
        return all(
            any(_within(os.path.realpath(folder), real) for real in real_roots)
            for folder in {location.git_dir, location.common_dir}
        )


def _checked(requested: bytes) -> str:
    """The path as text. Nothing has been opened when this refuses."""
    if len(requested) > MAX_PATH or b"\0" in requested:
        raise NotExported("a path too long, or with a NUL")
    path = os.fsdecode(requested)
    for part in path.removeprefix("/").removesuffix("/").split("/"):
        if part in ("", ".", ".."):
            raise NotExported(f"'{path}': aliased")
        if part.startswith("-"):
            raise NotExported(f"'{path}': a name begins with a dash")
    return path


def _within(path: str, folder: str, *, exactly: bool = False) -> bool:
    folder = folder.rstrip("/")
    return path == folder or (not exactly and path.startswith(folder + "/"))
