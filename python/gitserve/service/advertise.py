"""The first answer of v0 and v1: the refs, as one client may see them.

In: a repository's refs and objects. Out: pkt-lines. Git's document: gitprotocol-pack, "Reference
Discovery". The lines are the core's; here it is found what a shallow repository or its alternates
add to them.
"""

from __future__ import annotations

import os

from gitserve._core import RefSnapshot, RefStore, Snapshot
from gitserve.errors import GitServeError
from gitserve.repository.locate import location_of
from gitserve.repository.native import NativeRepository
from gitserve.repository.readable import ReadableRepository

MAX_ALTERNATES = 100
"""Folders whose refs are told to a pusher; each costs opening a repository."""


def upload_advertisement(
    repository: ReadableRepository, refs: RefSnapshot, objects: Snapshot, capabilities: bytes
) -> bytes:
    """For a fetch: HEAD, refs with what tags peel to, the repository's shallow commits."""
    return refs.advertisement(objects, capabilities, shallow=repository.shallow)


def receive_advertisement(
    repository: ReadableRepository, refs: RefSnapshot, objects: Snapshot, capabilities: bytes
) -> bytes:
    """For a push: refs, ``.have`` lines for the tips of alternates, shallow commits."""
    return refs.advertisement(
        objects,
        capabilities,
        receive=True,
        haves=alternate_tips(repository) if isinstance(repository, NativeRepository) else (),
        shallow=repository.shallow,
    )


def alternate_tips(repository: NativeRepository) -> list[bytes]:
    """The distinct ref values of the repositories that this one borrows objects from."""
    tips: dict[bytes, None] = {}
    for objects_dir in _alternates(repository.objects_dir):
        try:
            location = location_of(os.path.dirname(objects_dir))
            if location is None:
                continue
            common = None if location.common_dir == location.git_dir else location.common_dir
            refs = RefStore(location.git_dir, common, repository.object_format).snapshot()
            tips.update(dict.fromkeys(object_id for _, object_id in refs.items()))
        except (GitServeError, OSError):
            continue  # they only save bytes; a push works without them
    return list(tips)


def _alternates(objects_dir: str) -> list[str]:
    try:
        with open(os.path.join(objects_dir, "info", "alternates"), "rb") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return []
    named = (os.fsdecode(line) for line in lines if line and not line.startswith(b"#"))
    return [os.path.normpath(os.path.join(objects_dir, name)) for name in named][:MAX_ALTERNATES]
