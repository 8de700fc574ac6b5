"""From what a backend gave to what the services serve.

In: a repository object of anybody's. Out: the handle that :mod:`gitserve.service` works on. The
choice is made once, at the door of a request:

- a repository of ours, by its handle;
- a dulwich ``Repo``, which is a folder on disk, is served as that folder, at full speed;
- a class with a ``find_missing_objects`` or ``fetch_objects`` of its own wants to be asked;
- anything else has its objects read through its object store.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from gitserve.repo import Repo
from gitserve.repository.foreign import ForeignRepository
from gitserve.repository.locate import location_of
from gitserve.repository.native import NativeRepository, open_location

_OF_OBJECTS = (
    "find_missing_objects", "fetch_objects", "fetch_pack_data", "get_object", "get_parents",
    "get_peeled", "get_refs", "get_shallow", "controldir", "commondir",
)  # fmt: skip
"""Methods by which a subclass of dulwich's ``Repo`` may mean other objects or refs than its
folder has."""


def served(repo: Any) -> NativeRepository | ForeignRepository:
    """A repository of ours by its handle, somebody's own through the same pipeline."""
    if isinstance(repo, ForeignRepository):
        return repo
    native = repo if isinstance(repo, NativeRepository) else None
    native = repo.native if isinstance(repo, Repo) else native or _on_disk(repo)
    if native is None:
        return ForeignRepository(repo)
    native.refresh()  # a handle lives longer than a request; its configuration must not
    return native


def chooser(repo: Any) -> Callable[..., Any] | None:
    """The method by which a repository chooses what is sent, if it has one of its own: the new
    name first, then the old."""
    if isinstance(repo, Repo | NativeRepository | ForeignRepository):
        return None
    for name in ("find_missing_objects", "fetch_objects"):
        method: Callable[..., Any] | None = getattr(repo, name, None)
        if method is not None and not _is_known(method):
            return method
    return None


def python_hook(repo: Any, name: str) -> Any:
    """A hook of the program's own; those in the hooks folder are run by the service."""
    hooks = getattr(repo, "hooks", None)
    hook = hooks.get(name) if hooks else None
    executables = getattr(sys.modules.get("dulwich.hooks"), "ShellHook", ())
    return None if isinstance(hook, executables) else hook


def _on_disk(repo: Any) -> NativeRepository | None:
    """The folder of a dulwich ``Repo`` that is nothing but that folder."""
    dulwich = sys.modules.get("dulwich.repo")
    if dulwich is None or not isinstance(repo, dulwich.Repo):
        return None
    if any(getattr(type(repo), name, None) is not getattr(dulwich.Repo, name, None)
           or name in vars(repo) for name in _OF_OBJECTS):  # fmt: skip
        return None
    if not _is_known(type(repo.object_store)) or not _is_known(type(repo.refs)):
        return None
    location = location_of(os.path.realpath(os.fsdecode(repo.controldir())))
    return None if location is None else open_location(location)


def _is_known(thing: Any) -> bool:
    module = getattr(thing, "__module__", None) or ""
    return module.partition(".")[0] in ("dulwich", "gitserve")
