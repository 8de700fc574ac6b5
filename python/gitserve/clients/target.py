"""Takes a fetched pack into a repository of ours.

In: pack bytes as they arrive. Out: objects that are there to stay, and the new shallow boundary;
or nothing at all, whatever goes wrong before the end. Refs are not moved. Must not know packets.

Objects become visible before the boundary says where they end: who looks in between sees commits
that no ref names yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from gitserve._core import PackReceiver, Quarantine
from gitserve.clients.fetch_order import Fetched
from gitserve.errors import HangupError, NoRepository, PackError
from gitserve.repository.locate import location_of
from gitserve.repository.native import NativeRepository, open_location
from gitserve.repository.shallow import move_boundary, moved
from gitserve.wire.shallow_info import ShallowInfo


class OurTarget(Protocol):
    """A :class:`gitserve.repo.Repo`."""

    @property
    def native(self) -> NativeRepository:
        """The handle that the core works on."""


class FolderTarget(Protocol):
    """A repository of another library, such as dulwich's ``Repo``, that is a folder on disk."""

    def controldir(self) -> str | bytes:
        """Where its HEAD is."""


Target = OurTarget | FolderTarget
"""What is fetched into."""


def native_of(target: Target) -> NativeRepository:
    """The handle of a target's folder. Raises NoRepository when it is none."""
    native = getattr(target, "native", None)
    if isinstance(native, NativeRepository):
        return native
    controldir = getattr(target, "controldir", None)
    folder = os.fsdecode(controldir()) if callable(controldir) else None
    location = None if folder is None else location_of(folder)
    if location is None:
        raise NoRepository(f"{type(target).__name__} is no repository on disk, to fetch into")
    return open_location(location)


class Intake:
    """One fetch into a repository. A context: what was not accepted at its end is gone."""

    def __init__(self, repository: NativeRepository, max_pack_bytes: int = 0) -> None:
        self._repository = repository
        self._max_pack_bytes = max_pack_bytes
        self._quarantine: Quarantine | None = None
        self._receiver: PackReceiver | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        if self._quarantine is not None:
            self._quarantine.discard()

    def write(self, data: bytes) -> None:
        """The next bytes of the pack. Raises PackError at the first wrong one."""
        if self._receiver is None:
            repository = self._repository
            self._quarantine = Quarantine(repository.objects_dir, repository.object_format)
            self._receiver = self._quarantine.receive(max_pack_bytes=self._max_pack_bytes)
        if self._receiver.complete or self._receiver.write(data) < len(data):
            raise PackError("the server sent bytes behind the end of the pack")

    def accept(
        self,
        wants: tuple[bytes, ...],
        fetched: Fetched,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """The pack is whole, its objects are kept; how many they are.

        Raises PackError when it is not all that was wanted, HangupError when it was cut off.
        """
        if self._receiver is None or self._quarantine is None:
            raise HangupError("the server sent no pack")
        if not self._receiver.complete:
            raise HangupError("the server hung up in the middle of the pack")
        count = self._receiver.finish(on_progress)
        info = fetched.shallow_info or ShallowInfo()
        boundary = moved(self._repository.shallow, info.shallow, info.unshallow)
        if fetched.filtered:
            # Objects are missing on purpose, and git knows by these files that they are promised.
            for pack in Path(self._quarantine.path, "pack").glob("pack-*.pack"):
                pack.with_suffix(".promisor").touch()
        else:
            refs = self._repository.refs.snapshot()
            missing = self._quarantine.check_connected(wants, (), boundary, refs=refs)
            if missing is not None:
                raise PackError(f"the server did not send {missing.decode()}, which is needed")
        self._quarantine.publish()
        if fetched.shallow_info is not None:
            move_boundary(self._repository.common_dir, info.shallow, info.unshallow)
        return count
