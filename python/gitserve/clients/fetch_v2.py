"""The dialogue of a fetch in v2: the same question again and again, with more haves each time.

In: what the server offered, what is wanted, what is there already. Out: effects. The server keeps
nothing between requests, so a stateless road is no different.

Git's document: gitprotocol-v2, "fetch".
"""

from __future__ import annotations

from dataclasses import replace

from gitserve.clients.effects import Dialogue, EndRequest, ReadPacket, ReadSection, Send, TakePack
from gitserve.clients.fetch_order import Fetched, FetchOrder
from gitserve.clients.greeting import request_v2
from gitserve.clients.offer import OfferV2
from gitserve.clients.rounds import LARGEST_ALONE, HaveSource, Rounds
from gitserve.errors import HangupError, PeerError
from gitserve.wire import acknowledgments, fetch_request, shallow_info
from gitserve.wire.acknowledgments import READY
from gitserve.wire.fetch_request import FetchRequest
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import DELIM, FLUSH, Marker, Packet, chomp
from gitserve.wire.shallow_info import ShallowInfo


def fetch_v2(offer: OfferV2, order: FetchOrder, source: HaveSource) -> Dialogue[Fetched]:
    """Negotiates and takes the pack; without wants there is nothing to say."""
    if not order.wants:
        return Fetched()
    features = offer.features(b"fetch")
    if b"fetch" not in offer.capabilities:
        raise Malformed("the server offers no fetch")
    if (order.deepening.wanted or order.shallow) and b"shallow" not in features:
        raise PeerError("the server does not support shallow clients")
    filtered = order.filter_spec is not None and b"filter" in features
    rounds = Rounds(source, LARGEST_ALONE)
    plain = FetchRequest(
        wants=order.wants,
        thin_pack=order.thin,
        no_progress=not order.progress,
        include_tag=order.include_tag,
        ofs_delta=True,
        shallow=order.shallow,
        deepening=order.deepening,
        filter_spec=order.filter_spec if filtered else None,
    )
    while True:
        ids = rounds.next_round()
        request = plain.but(haves=(*rounds.common, *ids), done=not ids)
        arguments = fetch_request.format_arguments(request)
        yield Send(request_v2(offer, b"fetch", order.agent, arguments))
        yield EndRequest()
        fetched = yield from _read_response(rounds, offer.hex_length, done=request.done)
        if fetched is not None:
            return replace(fetched, filtered=filtered)


def _read_response(rounds: Rounds, digits: int, *, done: bool) -> Dialogue[Fetched | None]:
    """``None``: the server wants more haves."""
    boundary: ShallowInfo | None = None
    ready = done
    while True:
        name = yield from _read_name()
        if name == b"packfile":
            if not ready:
                raise Malformed("a pack before the negotiation has ended")
            yield TakePack(banded=True)
            return Fetched(boundary)
        lines: list[bytes]
        end: Marker
        lines, end = yield ReadSection()
        if name == b"acknowledgments":
            ready = _read_acknowledgments(lines, rounds, digits) or done
            if end is FLUSH and not ready:
                return None
        elif name == b"shallow-info":
            boundary = shallow_info.parse(lines, digits)
        else:
            raise Malformed(f"unknown section '{quoted(name)}'")
        if end is not DELIM:
            raise Malformed(f"expected another section behind {quoted(name)}")


def _read_name() -> Dialogue[bytes]:
    packet: Packet | None = yield ReadPacket()
    if packet is None:
        raise HangupError("the server hung up instead of an answer")
    if not isinstance(packet, bytes):
        raise Malformed("expected the name of a section, got a marker")
    return chomp(packet)


def _read_acknowledgments(lines: list[bytes], rounds: Rounds, digits: int) -> bool:
    """Is the server ready?"""
    ready = False
    for line in lines:
        if chomp(line) == chomp(READY):
            ready = True
            continue
        ack = acknowledgments.parse(line, digits)
        if ack is not None and not rounds.acknowledge(ack.object_id):
            raise Malformed("the server acknowledges what it was not told of")
    return ready
