"""What both upload dialogues do alike.

In: parts of a request. Out: effects. It must not know which version is spoken.
"""

from __future__ import annotations

from collections.abc import Generator

from gitserve.errors import PeerError
from gitserve.record import TYPE_CHECKING
from gitserve.session.config import FilterRules, Limits
from gitserve.session.effects import Deepen, DeepenKind, Effect, ShallowUpdate
from gitserve.session.reading import check_count
from gitserve.wire import filter_spec
from gitserve.wire.deepening import Deepening
from gitserve.wire.malformed import quoted

if TYPE_CHECKING:
    from typing import Any


def not_our_ref(object_id: bytes) -> PeerError:
    """A want that the client may not have, or that is not there: the same words for both."""
    return PeerError(
        f"not our ref {object_id.decode()}", wire=b"upload-pack: not our ref " + object_id
    )


def fetch_facts(
    *,
    wants: int,
    want_refs: int = 0,
    haves: int = 0,
    shallows: int,
    deepening: Deepening,
    spec: bytes | None,
) -> dict[str, object]:
    """What is traced of a request, by git's names; of a filter only its kind."""
    facts: dict[str, object] = {
        "haves": haves,
        "wants": wants,
        "want-refs": want_refs,
        "depth": deepening.depth or 0,
        "shallows": shallows,
        "deepen-since": deepening.since is not None,
        "deepen-not": len(deepening.exclude),
        "deepen-relative": deepening.relative,
    }
    if spec is not None:
        kind = quoted(spec.partition(b"=")[0])
        facts["filter"] = "tree" if kind.startswith("tree:") else kind
    return facts


def check_filter(spec: bytes | None, rules: FilterRules) -> None:
    """Raises :class:`PeerError` for a filter that the repository does not allow."""
    if spec is None:
        return
    for part in filter_spec.parts(spec):
        if not rules.allows(part.kind):
            text = f"filter '{part.kind}' not supported"
            raise PeerError(text, wire=text.encode())
        if rules.tree_depth is not None and (part.depth or 0) > rules.tree_depth:
            text = f"tree filter allows max depth {rules.tree_depth}, but got {part.depth}"
            raise PeerError(text, wire=text.encode())


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
            wire=f"git upload-pack: deepen-not is not a ref: {name}".encode(),
        )
    return update
