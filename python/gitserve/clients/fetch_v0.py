"""The dialogue of a fetch in v0 and v1, behind the advertisement.

In: what the server offered, what is wanted, what is there already. Out: effects. A stateless road
is one value: every request then begins with all that was said before.

Git's document: gitprotocol-pack, "Packfile Negotiation"; gitprotocol-http, "Smart Service
git-upload-pack".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gitserve.clients.effects import (
    Dialogue,
    EndRequest,
    ReadPacket,
    ReadSection,
    Send,
    TakePack,
)
from gitserve.clients.fetch_order import Fetched, FetchOrder
from gitserve.clients.offer import hex_length
from gitserve.clients.rounds import LARGEST_ALONE, LARGEST_STREAMED, HaveSource, Rounds
from gitserve.errors import HangupError, PeerError
from gitserve.wire import acknowledgments, haves, shallow_info, upload_request
from gitserve.wire.acknowledgments import AckStatus
from gitserve.wire.haves import Haves
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import FLUSH, FLUSH_PKT, Marker, Packet
from gitserve.wire.ref_advertisement import RefAdvertisement
from gitserve.wire.shallow_info import ShallowInfo
from gitserve.wire.upload_request import UploadRequest

CapabilityMap = dict[bytes, bytes | None]


class Manner(Enum):
    """How haves are acknowledged; the best that the server can."""

    SINGLE = None
    MULTI = b"multi_ack"
    DETAILED = b"multi_ack_detailed"


@dataclass(slots=True)
class _Talk:
    """What the parts of one dialogue share."""

    rounds: Rounds
    digits: int
    manner: Manner
    stateless: bool
    no_done: bool
    state: bytes
    """How each request begins."""
    deepens: bool
    boundary: ShallowInfo | None = None
    acked: bool = False
    """The server has said its one ACK (single)."""


def fetch_v0(
    offer: RefAdvertisement, order: FetchOrder, source: HaveSource, *, stateless: bool = False
) -> Dialogue[Fetched]:
    """Negotiates and takes the pack; without wants it says goodbye."""
    if not order.wants:
        if not stateless:
            yield Send(FLUSH_PKT)
            yield EndRequest()
        return Fetched()
    manner = _manner(offer)
    capabilities = _capabilities(offer, order, manner, stateless=stateless)
    filtered = order.filter_spec is not None and b"filter" in offer.capabilities
    request = UploadRequest(
        order.wants,
        capabilities,
        order.shallow if b"shallow" in offer.capabilities else (),
        order.deepening,
        order.filter_spec if filtered else None,
    )
    talk = _Talk(
        Rounds(source, LARGEST_ALONE if stateless else LARGEST_STREAMED),
        hex_length(offer.object_format),
        manner,
        stateless,
        b"no-done" in capabilities,
        upload_request.format(request),
        order.deepening.wanted,
    )
    if not stateless:
        yield Send(talk.state)
        if talk.deepens:
            yield EndRequest()
            talk.boundary = yield from _read_boundary(talk)
    if not (yield from _negotiate(talk)):
        yield from _say(talk, Haves([], True))
        yield from _read_last_answer(talk)
    banded = b"side-band-64k" in capabilities or b"side-band" in capabilities
    yield TakePack(banded=banded)
    return Fetched(talk.boundary, filtered)


def _manner(offer: RefAdvertisement) -> Manner:
    for manner in (Manner.DETAILED, Manner.MULTI):
        if manner.value in offer.capabilities:
            return manner
    return Manner.SINGLE


def _capabilities(
    offer: RefAdvertisement, order: FetchOrder, manner: Manner, *, stateless: bool
) -> CapabilityMap:
    offered = offer.capabilities
    if (order.deepening.wanted or order.shallow) and b"shallow" not in offered:
        raise PeerError("the server does not support shallow clients")
    for word, needed in (
        (b"deepen-since", order.deepening.since is not None),
        (b"deepen-not", bool(order.deepening.exclude)),
        (b"deepen-relative", order.deepening.relative),
    ):
        if needed and word not in offered:
            raise PeerError(f"the server does not support {word.decode()}")
    band = b"side-band-64k" if b"side-band-64k" in offered else b"side-band"
    wished: list[tuple[bytes | None, bool]] = [
        (manner.value, True),
        (b"no-done", stateless and manner is Manner.DETAILED),
        (band, True),
        (b"thin-pack", order.thin),
        (b"no-progress", not order.progress),
        (b"include-tag", order.include_tag),
        (b"ofs-delta", True),
        (b"deepen-since", order.deepening.since is not None),
        (b"deepen-not", bool(order.deepening.exclude)),
        (b"deepen-relative", order.deepening.relative),
        (b"filter", order.filter_spec is not None),
    ]
    chosen: CapabilityMap = {
        word: None for word, wanted in wished if word is not None and wanted and word in offered
    }
    if b"agent" in offered:
        chosen[b"agent"] = order.agent
    if b"object-format" in offered:
        chosen[b"object-format"] = offered[b"object-format"]
    return chosen


def _negotiate(talk: _Talk) -> Dialogue[bool]:
    """Says haves until it is enough. ``True``: the pack comes already, without a ``done``."""
    while ids := talk.rounds.next_round():
        yield from _say(talk, Haves(ids, False))
        ready = yield from _read_answers(talk)
        if ready and talk.no_done:
            yield from _read_last_answer(talk)
            return True
        if ready or talk.acked:
            break
    return False


def _say(talk: _Talk, said: Haves) -> Dialogue[None]:
    if talk.stateless:
        common = [i for i in talk.rounds.common if i not in said.ids]
        yield Send(talk.state + haves.format(Haves(common, False)))
    yield Send(haves.format(said) + (b"" if said.done else FLUSH_PKT))
    yield EndRequest()
    if talk.stateless and talk.deepens:
        talk.boundary = yield from _read_boundary(talk)


def _read_boundary(talk: _Talk) -> Dialogue[ShallowInfo]:
    lines: list[bytes]
    end: Marker
    lines, end = yield ReadSection()
    if end is not FLUSH:
        raise Malformed("expected flush behind shallow lines")
    return shallow_info.parse(lines, talk.digits)


def _read_answers(talk: _Talk) -> Dialogue[bool]:
    """What the server makes of one round. ``True``: it needs no more haves."""
    ready = False
    # Each have is acknowledged once or twice (common, then ready), and a NAK ends the round.
    for _ in range(2 * talk.rounds.said + 2):
        ack = acknowledgments.parse((yield from _read_line()), talk.digits)
        if ack is None:
            return ready
        if not talk.rounds.acknowledge(ack.object_id):
            raise Malformed("the server acknowledges what it was not told of")
        if talk.manner is Manner.SINGLE:
            talk.acked = True
            return False
        ready = ready or ack.status is AckStatus.READY
    raise Malformed("more acknowledgments than haves")


def _read_last_answer(talk: _Talk) -> Dialogue[None]:
    """The line in front of the pack."""
    if talk.manner is Manner.SINGLE and talk.acked and not talk.stateless:
        return
    for _ in range(2 * talk.rounds.said + 2):
        ack = acknowledgments.parse((yield from _read_line()), talk.digits)
        if ack is None or ack.status is AckStatus.PLAIN:
            return
    raise Malformed("more acknowledgments than haves")


def _read_line() -> Dialogue[bytes]:
    packet: Packet | None = yield ReadPacket()
    if packet is None:
        raise HangupError("the server hung up during negotiation")
    if not isinstance(packet, bytes):
        raise Malformed("expected ACK/NAK, got a marker")
    return packet
