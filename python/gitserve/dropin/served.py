"""From what a backend gave to what the services serve.

In: a repository object of anybody's. Out: the handle that :mod:`gitserve.service` works on. The
choice is made once, at the door of a request.
"""

from __future__ import annotations

from typing import Any

from gitserve.repo import Repo
from gitserve.repository.foreign import ForeignRepository
from gitserve.repository.native import NativeRepository


def served(repo: Any) -> NativeRepository | ForeignRepository:
    """A repository of ours by its handle, somebody's own through the same pipeline."""
    if isinstance(repo, Repo):
        return repo.native
    if isinstance(repo, NativeRepository | ForeignRepository):
        return repo
    return ForeignRepository(repo)
