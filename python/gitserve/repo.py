"""``Repo``: a repository to serve, under the names that users of dulwich know.

    >>> repo = Repo.init("project", mkdir=True)
    >>> repo.do_commit(b"message", committer=b"Jelmer <jelmer@samba.org>")

A thin face over :class:`gitserve.repository.native.NativeRepository`: what a server, its tests and
the client need, not a porcelain. Paths are str, bytes or PathLike; ids are hexadecimal bytes; ref
names are bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from gitserve.errors import NoRepository, NotGitRepository, RepositoryError
from gitserve.repository.config import Config
from gitserve.repository.create import DEFAULT_BRANCH, create
from gitserve.repository.index import parse_index, write_trees
from gitserve.repository.native import NativeRepository
from gitserve.repository.objects import GitObject, Objects
from gitserve.repository.references import References

__all__ = ["GitObject", "NotGitRepository", "Repo"]

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Repo:
    """A repository on disk, with or without a working tree."""

    def __init__(
        self, root: Path, object_store: Objects | None = None, bare: bool | None = None
    ) -> None:
        """Opens the repository at ``root``: a bare one, or the folder that holds ``.git``.

        Raises NotGitRepository.
        """
        self.path = os.path.abspath(os.fsdecode(root))
        """Where it was opened."""
        self.native = NativeRepository.open(self.path)
        """The handle that the server works on."""
        self.bare = self.native.is_bare if bare is None else bare
        self.object_store = Objects(self.native) if object_store is None else object_store
        self.refs = References(self.native)
        self.hooks: dict[str, Any] = {}
        """Hooks in Python beside the executables of the repository, asked by the handlers of
        :mod:`gitserve.server`: ``pre-receive``, ``update``, ``post-receive``; anything with
        dulwich's ``execute``."""

    @classmethod
    def init(
        cls,
        path: Path,
        *,
        mkdir: bool = False,
        default_branch: bytes | None = None,
        object_format: str | None = None,
    ) -> Repo:
        """Makes a repository with a working tree at ``path`` and opens it."""
        root = _folder(path, mkdir)
        return cls._create(root, os.path.join(root, ".git"), False, default_branch, object_format)

    @classmethod
    def init_bare(
        cls,
        path: Path,
        *,
        mkdir: bool = False,
        default_branch: bytes | None = None,
        object_format: str | None = None,
    ) -> Repo:
        """Makes a repository without a working tree at ``path`` and opens it."""
        root = _folder(path, mkdir)
        return cls._create(root, root, True, default_branch, object_format)

    create = init_bare

    @classmethod
    def _create(
        cls,
        root: str,
        git_dir: str,
        bare: bool,
        default_branch: bytes | None,
        object_format: str | None,
    ) -> Repo:
        create(
            git_dir,
            bare=bare,
            object_format=object_format or "sha1",
            default_branch=default_branch or DEFAULT_BRANCH,
        )
        return cls(root)

    @classmethod
    def discover(cls, start: Path = ".") -> Repo:
        """The repository that ``start`` lies in. Raises NotGitRepository."""
        at = os.path.abspath(os.fsdecode(start))
        while True:
            try:
                return cls(at)
            except NoRepository:
                above = os.path.dirname(at)
                if above == at:
                    place = os.fsdecode(start)
                    raise NoRepository(f"no git repository was found at {place}") from None
                at = above

    def controldir(self) -> str:
        """The folder with HEAD."""
        return self.native.git_dir

    def commondir(self) -> str:
        """The folder with objects and refs; another one only in a linked worktree."""
        return self.native.common_dir

    @property
    def object_format(self) -> str:
        """``sha1`` or ``sha256``."""
        return self.native.object_format

    def get_config(self) -> Config:
        """The configuration of all levels, as of now."""
        return self.native.refresh()

    def get_refs(self) -> dict[bytes, bytes]:
        """Every ref and its id, ``HEAD`` included when it leads somewhere."""
        return self.refs.as_dict()

    def get_peeled(self, ref: bytes) -> bytes:
        """The id behind the ref's tag, or its own. Raises KeyError when there is no such ref."""
        peeled = self.refs.get_peeled(ref)
        if peeled is None:
            raise KeyError(ref)
        return peeled

    def get_shallow(self) -> set[bytes]:
        """The commits at which this repository's history ends."""
        return set(self.native.shallow)

    def head(self) -> bytes:
        """The id HEAD leads to. Raises KeyError while its branch is unborn."""
        return self.refs[b"HEAD"]

    def get_object(self, object_id: bytes) -> GitObject:
        """The object of this id. Raises KeyError."""
        return self.object_store[object_id]

    def get_parents(self, commit_id: bytes) -> list[bytes]:
        """A commit's parents, none where this repository is shallow. Raises KeyError."""
        return [] if commit_id in self.native.shallow else self[commit_id].parents

    def __contains__(self, name: bytes) -> bool:
        if len(name) in (40, 64) and _is_hex(name):
            return name in self.object_store
        return name in self.refs

    def __getitem__(self, name: bytes) -> GitObject:
        """The object of this id, or the one a full ref name leads to. Raises KeyError."""
        if len(name) in (40, 64) and _is_hex(name):
            return self.object_store[name]
        return self.object_store[self.refs[name]]

    def do_commit(
        self,
        message: bytes | None = None,
        committer: bytes | None = None,
        author: bytes | None = None,
        commit_timestamp: float | None = None,
        commit_timezone: int | None = None,
        author_timestamp: float | None = None,
        author_timezone: int | None = None,
        tree: bytes | None = None,
        encoding: bytes | None = None,
        ref: bytes | None = b"HEAD",
        merge_heads: Sequence[bytes] | None = None,
    ) -> bytes:
        """Commits ``tree`` (default: what is staged) and moves ``ref`` to it; the commit's id.

        ``committer`` and ``author`` are ``Name <email>``; times are seconds since 1970, zones
        seconds east of UTC. ``ref`` None makes a commit that nothing points at. Raises
        RepositoryError when somebody else moved the ref meanwhile.
        """
        if message is None:
            raise ValueError("no commit message specified")
        committer = committer or self._identity()
        author = author or committer
        when = int(time.time() if commit_timestamp is None else commit_timestamp)
        zone = 0 if commit_timezone is None else commit_timezone
        written = when if author_timestamp is None else int(author_timestamp)
        author_zone = zone if author_timezone is None else author_timezone
        parent = None if ref is None else self.refs.get(ref)
        parents = [*([] if parent is None else [parent]), *(merge_heads or ())]
        lines = [b"tree " + (self._staged_tree() if tree is None else tree)]
        lines += [b"parent " + parent_id for parent_id in parents]
        lines.append(b"author %b %d %b" % (author, written, _zone(author_zone)))
        lines.append(b"committer %b %d %b" % (committer, when, _zone(zone)))
        if encoding is not None:
            lines.append(b"encoding " + encoding)
        commit_id = self.object_store.write("commit", b"\n".join([*lines, b"", message]))
        if ref is not None:
            old = b"0" * len(commit_id) if parent is None else parent
            subject = message.partition(b"\n")[0]
            note = (b"commit: " if parents else b"commit (initial): ") + subject
            if not self.refs.set_if_equals(ref, old, commit_id, note):
                raise RepositoryError(f"{ref.decode(errors='replace')} changed during commit")
        return commit_id

    def _identity(self) -> bytes:
        config = self.native.refresh()
        name, email = config.get("user.name"), config.get("user.email")
        if name is None or email is None:
            raise ValueError("no committer given, and user.name and user.email are not configured")
        return f"{name} <{email}>".encode()

    def _staged_tree(self) -> bytes:
        path = os.path.join(self.native.git_dir, "index")
        try:
            with open(path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return self.object_store.write("tree", b"")
        id_len = 20 if self.object_format == "sha1" else 32
        entries = parse_index(data, path, id_len)
        root = write_trees(entries, lambda tree: bytes.fromhex(self._write_tree(tree)))
        return root.hex().encode()

    def _write_tree(self, content: bytes) -> str:
        return self.object_store.write("tree", content).decode()

    def close(self) -> None:
        """Does nothing: what is kept open is shared, and let go of when idle."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Repo at {self.path!r}>"


def _folder(path: Path, mkdir: bool) -> str:
    root = os.path.abspath(os.fsdecode(path))
    if mkdir:
        os.mkdir(root)
    return root


def _is_hex(name: bytes) -> bool:
    return not name.strip(b"0123456789abcdef")


def _zone(seconds: int) -> bytes:
    sign = b"-" if seconds < 0 else b"+"
    minutes = abs(seconds) // 60
    return b"%b%02d%02d" % (sign, minutes // 60, minutes % 60)
