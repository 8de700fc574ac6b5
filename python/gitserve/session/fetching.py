"""What both upload dialogues do alike.

In: parts of a request. Out: effects. It must not know which version is spoken.
"""

from __future__ import annotations

from collections.abc import Generator

from gitserve.errors import PeerError
from gitserve.record import TYPE_CHECKING
from gitserve.session.config import Limits
from gitserve.session.effects import Deepen, DeepenKind, Effect, ShallowUpdate
from gitserve.session.reading import check_count
from gitserve.wire.deepening import Deepening
from gitserve.wire.malformed import quoted

if TYPE_CHECKING:
    from typing import Any


def not_our_ref(object_id: bytes) -> PeerError:
    """A want that the client may not have, or that is not there: the same words for both."""
    return PeerError(
        f"not our ref {object_id.decode()}", wire=b"upload-pack: not our ref " + object_id
    )


def check_deepening(deepening: Deepening, limits: Limits) -> None:
    """Raises :class:`~gitserve.session.reading.TooMuch`."""
    check_count(len(deepening.exclude), limits.max_deepen_not, b"deepen-not lines")


def deepen(
    wants: tuple[bytes, ...], client_shallow: tuple[bytes, ...], deepening: Deepening
) -> Generator[Effect, Any, ShallowUpdate]:
    """The new boundary. Raises :class:`PeerError` for a ``deepen-not`` of no ref."""
    kind = DeepenKind.NONE
    if deepening.depth:
        kind = DeepenKind.DEPTH
    elif deepening.wanted:
        kind = DeepenKind.SINCE_OR_NOT
    update: ShallowUpdate = yield Deepen(
        wants,
        client_shallow,
        kind,
        depth=deepening.depth,
        relative=deepening.relative,
        since=deepening.since,
        exclude=deepening.exclude,
    )
    if update.unknown_ref is not None:
        name = quoted(update.unknown_ref)
        raise PeerError(
            f"deepen-not of {name}",
            wire=f"git upload-pack: ambiguous deepen-not: {name}".encode(),
        )
    return update
