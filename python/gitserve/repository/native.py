"""A repository on disk, as the handle that services work on.

In: a :class:`~gitserve.repository.locate.Location`. Out: its configuration, objects, refs, shallow
commits and hooks folder, each kept across requests and trusted only after a ``stat``. Implements
gitrepository-layout(5). Must not know packets, sessions or who is asking.
"""

from __future__ import annotations

import os
from _thread import allocate_lock  # threading's, without the import
from collections.abc import Mapping

from gitserve._core import RefStore, Store
from gitserve.errors import NoRepository, RepositoryError
from gitserve.record import TYPE_CHECKING
from gitserve.repository.config import Config, ConfigFiles
from gitserve.repository.locate import Location, locate, location_of
from gitserve.repository.namespace import NamespacedRefs, namespace_prefix
from gitserve.repository.shallow import ShallowFile
from gitserve.repository.tablerules import TableRules, table_rules
from gitserve.repository.worktrees import Worktree, worktrees

if TYPE_CHECKING:
    from gitserve.options import RefFormat

MAX_OPEN = 256
"""Handles kept per process; each is a few kilobytes beside what the core keeps for itself."""

KNOWN_EXTENSIONS = frozenset(
    (
        "noop",
        "noop-v1",
        "objectformat",
        "partialclone",
        "preciousobjects",
        "refstorage",
        "relativeworktrees",
        "worktreeconfig",
    )
)
"""Of gitrepository-layout(5), ``extensions.*``; another one means that we would misread it."""


class NativeRepository:
    """One repository. May be used from any thread."""

    __slots__ = (
        "_config",
        "_config_files",
        "_namespaced",
        "_object_format",
        "_objects",
        "_refs",
        "_shallow",
        "_table_rules",
        "common_dir",
        "git_dir",
        "namespace",
    )

    def __init__(self, location: Location, environ: Mapping[str, str] | None = None) -> None:
        self.git_dir = location.git_dir
        """Absolute path of the folder with HEAD."""
        self.common_dir = location.common_dir
        self.namespace = b"" if environ is None else namespace_prefix(environ)
        """What is put before the names of refs."""
        self._namespaced: NamespacedRefs | None = None
        """Absolute path of the folder with objects, refs and hooks."""
        self._config_files = ConfigFiles(
            common_dir=location.common_dir, git_dir=location.git_dir, environ=environ
        )
        self._config: Config | None = None
        self._object_format = "sha1"
        self._table_rules: TableRules | None = None
        self._objects: tuple[str, Store] | None = None
        self._refs: tuple[tuple[str, TableRules | None], RefStore] | None = None
        self._shallow = ShallowFile(location.common_dir)

    @classmethod
    def open(cls, path: str) -> NativeRepository:
        """The repository at ``path`` exactly. Raises NoRepository."""
        location = locate(path, strict=True) or location_of(os.path.join(path, ".git"))
        if location is None:
            raise NoRepository(f"'{path}' does not appear to be a git repository")
        return cls(location)

    def refresh(self) -> Config:
        """Reads the configuration again if it has changed; to be called once a request.

        Raises RepositoryError when it cannot be read, or names a format that we cannot read.
        """
        config = self._config_files.current()
        if config is not self._config:
            self._object_format, ref_format = _formats(config, self.common_dir)
            self._table_rules = table_rules(config) if ref_format == "reftable" else None
            self._config = config
        return config

    @property
    def config(self) -> Config:
        """All levels of configuration, as of the last :meth:`refresh`."""
        return self._config or self.refresh()

    @property
    def object_format(self) -> str:
        """``sha1`` or ``sha256``."""
        if self._config is None:
            self.refresh()
        return self._object_format

    @property
    def refs_are_files(self) -> bool:
        """Each ref that moves alone is a file of its own."""
        if self._config is None:
            self.refresh()
        return self._table_rules is None

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that make it a repository: one, or two in a linked worktree."""
        if self.git_dir == self.common_dir:
            return (self.git_dir,)
        return self.git_dir, self.common_dir

    @property
    def objects_dir(self) -> str:
        """Where new objects go."""
        return os.path.join(self.common_dir, "objects")

    @property
    def objects(self) -> Store:
        """The object store, shared with everyone in this process who opened the same folder."""
        object_format = self.object_format
        if self._objects is None or self._objects[0] != object_format:
            self._objects = object_format, Store.open(self.objects_dir, object_format)
        return self._objects[1]

    @property
    def all_refs(self) -> RefStore:
        """The refs of this worktree and its repository."""
        object_format = self.object_format
        key = (object_format, self._table_rules)
        if self._refs is None or self._refs[0] != key:
            common = None if self.common_dir == self.git_dir else self.common_dir
            rules = self._table_rules
            if rules is None:
                self._refs = key, RefStore(self.git_dir, common, object_format)
            else:
                store = RefStore(
                    self.git_dir,
                    common,
                    object_format,
                    "reftable",
                    block_size=rules.block_size,
                    restart_interval=rules.restart_interval,
                    geometric_factor=rules.geometric_factor,
                    lock_timeout=rules.lock_timeout,
                )
                self._refs = key, store
        return self._refs[1]

    @property
    def refs(self) -> RefStore | NamespacedRefs:
        """Those of its namespace, which are all refs unless it was opened for one."""
        if not self.namespace:
            return self.all_refs
        if self._namespaced is None:
            self._namespaced = NamespacedRefs(self.all_refs, self.namespace, self.object_format)
        return self._namespaced

    @property
    def shallow(self) -> tuple[bytes, ...]:
        """The commits at which this repository's own history ends."""
        return self._shallow.ids()

    @property
    def hooks_dir(self) -> str:
        """``core.hooksPath`` (relative to the git folder, where hooks run), else ``hooks``."""
        configured = self.config.get_path("core.hookspath")
        if configured is None:
            return os.path.join(self.common_dir, "hooks")
        return os.path.join(self.git_dir, configured)

    @property
    def is_bare(self) -> bool:
        """``core.bare``; where it is unset, by whether the folder is called ``.git``."""
        bare = self.config.get_optional_bool("core.bare")
        if bare is None:
            return os.path.basename(self.common_dir) != ".git"
        return bare

    def checked_out(self) -> list[Worktree]:
        """Every worktree whose HEAD names a branch; a bare repository's HEAD is not checked out."""
        main = self.config.get_path("core.worktree")
        return worktrees(self.common_dir, is_bare=self.is_bare, main=main)


def _formats(config: Config, common_dir: str) -> tuple[str, RefFormat]:
    """Of its objects and of its refs."""
    version = config.get_int("core.repositoryformatversion", 0)
    if version not in (0, 1):
        raise RepositoryError(f"{common_dir}: unknown repository format version {version}")
    storage = (config.get("extensions.refstorage") or "files").lower()
    if version == 0:
        if storage != "files":
            raise RepositoryError(
                f"{common_dir}: repo version is 0, but v1-only extension found: refstorage"
            )
        # extensions count from version 1 on, but git reads the object format's nowhere else
        return "sha1", "files"
    for name in config.names("extensions"):
        if name not in KNOWN_EXTENSIONS:
            raise RepositoryError(f"{common_dir}: unknown repository extension {name}")
    object_format = (config.get("extensions.objectformat") or "sha1").lower()
    if object_format not in ("sha1", "sha256"):
        raise RepositoryError(f"{common_dir}: unknown object format {object_format}")
    if storage == "files":
        return object_format, "files"
    if storage == "reftable":
        return object_format, "reftable"
    raise RepositoryError(f"{common_dir}: invalid value for 'extensions.refstorage': '{storage}'")


_open: dict[tuple[str, str, int, int], NativeRepository] = {}
_open_lock = allocate_lock()


def open_location(location: Location) -> NativeRepository:
    """The process's one handle of this repository, refreshed; found by paths and identity."""
    folder = os.stat(location.git_dir)
    key = (location.git_dir, location.common_dir, folder.st_dev, folder.st_ino)
    repository = _open.get(key)
    if repository is None:
        with _open_lock:
            repository = _open.setdefault(key, NativeRepository(location))
            if len(_open) > MAX_OPEN:
                del _open[next(iter(_open))]
    repository.refresh()
    return repository
