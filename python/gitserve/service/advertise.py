"""The first answer of v0 and v1: the refs, as one client may see them.

In: a repository's refs and objects. Out: pkt-lines, in pieces that are sent one after the other.
Git's document: gitprotocol-pack, "Reference Discovery". The lines are the core's; here it is found
what a shallow repository or its alternates add to them.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitserve._core import Client, RefSnapshot, Snapshot
from gitserve.record import TYPE_CHECKING
from gitserve.repository.native import NativeRepository
from gitserve.repository.readable import ReadableRepository
from gitserve.service.alternates import alternate_tips

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable


def upload_advertisement(
    repository: ReadableRepository,
    refs: RefSnapshot,
    objects: Snapshot,
    capabilities: bytes,
    client: Client | None,
) -> Iterable[Sendable]:
    """For a fetch: HEAD, refs with what tags peel to, the repository's shallow commits."""
    return refs.advertisement(objects, capabilities, shallow=repository.shallow, client=client)


def receive_advertisement(
    repository: ReadableRepository, refs: RefSnapshot, objects: Snapshot, capabilities: bytes
) -> Iterable[Sendable]:
    """For a push: refs, ``.have`` lines for the tips of alternates, shallow commits."""
    return refs.advertisement(
        objects,
        capabilities,
        receive=True,
        haves=alternate_tips(repository) if isinstance(repository, NativeRepository) else (),
        shallow=repository.shallow,
    )
