"""What a fetch needs of a repository, wherever its objects are.

Two things have it: :class:`~gitserve.repository.native.NativeRepository`, and
:class:`~gitserve.repository.foreign.ForeignRepository` for somebody's own Python objects.
"""

from __future__ import annotations

from gitserve._core import RefSnapshot, Snapshot
from gitserve.record import Protocol
from gitserve.repository.config import Config
from gitserve.repository.worktrees import Worktree


class HasObjects(Protocol):
    """A store of objects."""

    def snapshot(self) -> Snapshot:
        """What is there now."""


class HasRefs(Protocol):
    """A store of refs."""

    def snapshot(self) -> RefSnapshot:
        """What is there now."""


class ReadableRepository(Protocol):
    """What every service reads."""

    @property
    def config(self) -> Config:
        """All levels of configuration, as of now."""

    @property
    def object_format(self) -> str:
        """``sha1`` or ``sha256``."""

    @property
    def shallow(self) -> tuple[bytes, ...]:
        """The commits at which this repository's own history ends."""

    @property
    def objects(self) -> HasObjects:
        """Its objects."""

    @property
    def refs(self) -> HasRefs:
        """Its refs, by the names that its clients have for them."""

    @property
    def namespace(self) -> bytes:
        """What stands before those names in full."""

    def checked_out(self) -> list[Worktree]:
        """Every worktree whose HEAD names a branch."""
