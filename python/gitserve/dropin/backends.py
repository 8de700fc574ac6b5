"""Backends: from the path a client asks for to a repository.

In: a path as str, bytes or PathLike. Out: a repository, ours or anybody's; ``NotGitRepository``
when there is none. People subclass these, or hand in objects that only have ``open_repository``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from typing import Protocol as TypingProtocol

from gitserve.errors import NoRepository
from gitserve.repo import Repo

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class BackendRepo(TypingProtocol):
    """What a repository needs to have to be served. It may be a base class too."""

    object_store: Any
    """The objects, as dulwich's stores or :class:`~gitserve.repository.objects.Objects`."""

    refs: Any
    """The refs, as dulwich's or :class:`~gitserve.repository.references.References`."""

    def get_refs(self) -> dict[bytes, bytes]:
        """Name to id, HEAD included."""
        raise NotImplementedError

    def get_peeled(self, ref: bytes) -> bytes | None:  # noqa: ARG002
        """What the ref's tag leads to; the ref's own id, or None, when it is no tag."""
        return None

    def find_missing_objects(
        self,
        determine_wants: Callable[..., list[bytes]],
        graph_walker: Any,
        progress: Callable[[bytes], None] | None,
        *,
        get_tagged: Callable[[], dict[bytes, bytes]] | None = None,
        depth: int | None = None,
    ) -> Any:
        """The objects to send, as ids or objects, alone or first in a tuple.

        Optional: without it the core finds out. ``fetch_objects`` is its old name.
        """
        raise NotImplementedError


class Backend:
    """Finds repositories."""

    def open_repository(self, path: str) -> BackendRepo:
        """The repository at ``path``. Raises NotGitRepository."""
        raise NotImplementedError(self.open_repository)


class DictBackend(Backend):
    """Looks repositories up by their paths, which may be str or bytes on either side."""

    def __init__(self, repos: Mapping[bytes, Any] | Mapping[str, Any]) -> None:
        self.repos: Any = repos

    def open_repository(self, path: Path) -> Any:
        """Raises NotGitRepository."""
        asked = os.fspath(path)
        if isinstance(asked, bytes):
            names: tuple[Any, ...] = (asked, asked.decode("utf-8", "surrogateescape"))
        else:
            names = (asked, asked.encode("utf-8", "surrogateescape"))
        for name in names:
            try:
                return self.repos[name]
            except KeyError:
                continue
        raise NoRepository(f"No git repository was found at {names[0]!r}")


class FileSystemBackend(Backend):
    """Serves the repositories below a folder."""

    def __init__(self, root: Path = os.sep) -> None:
        super().__init__()
        self.root = os.path.join(os.path.abspath(os.fsdecode(root)), "")

    def open_repository(self, path: Path) -> Any:
        """``path`` is the whole path, as in dulwich, or the one below the root.

        Raises NotGitRepository, also for whatever leads out of the root.
        """
        asked = os.fsdecode(path)
        if "\0" in asked:
            raise NoRepository("a path with a NUL")
        whole = os.path.abspath(os.path.join(self.root, asked))
        if not self._holds(whole):
            whole = os.path.abspath(os.path.join(self.root, asked.lstrip(os.sep)))
        if not self._holds(whole):
            raise NoRepository(f"Path {asked!r} not inside root {self.root!r}")
        repo = Repo(whole)
        real_root = os.path.join(os.path.realpath(self.root), "")
        for folder in {repo.controldir(), repo.commondir()}:
            if not os.path.join(os.path.realpath(folder), "").startswith(real_root):
                raise NoRepository(f"Path {asked!r} leads out of root {self.root!r}")
        return repo

    def _holds(self, path: str) -> bool:
        return os.path.join(os.path.normcase(path), "").startswith(os.path.normcase(self.root))
