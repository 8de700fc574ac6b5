"""The beginning of every dialogue: which version the server speaks, and what it shows.

In: the server's first packets. Out: effects; in the end an :class:`~.offer.Offer`. The server
decides the version; what the client asked for was a wish.

Git's document: gitprotocol-pack, "Reference Discovery"; gitprotocol-v2; gitprotocol-http, "Smart
Clients".
"""

from __future__ import annotations

from collections.abc import Sequence

from gitserve.clients.effects import Dialogue, EndRequest, ReadPacket, ReadSection, Send
from gitserve.clients.offer import Offer, OfferV2, RefList
from gitserve.errors import HangupError
from gitserve.wire import command_request, listed_ref, ls_refs, ref_advertisement
from gitserve.wire.capabilities import parse_advertisement
from gitserve.wire.command_request import CommandRequest
from gitserve.wire.ls_refs import LsRefsRequest
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import FLUSH, Marker, Packet, chomp
from gitserve.wire.ref_advertisement import RefAdvertisement

SILENT = "the server hung up before it said anything"


def greet(*, http_service: bytes | None = None) -> Dialogue[Offer]:
    """Reads what the server offers. Over HTTP a line that names the service may come first."""
    first: Packet | None = yield ReadPacket()
    if http_service is not None and isinstance(first, bytes) and first[:10] == b"# service=":
        if chomp(first[10:]) != http_service:
            raise Malformed(f"the server offers another service: '{quoted(first)}'")
        if (yield ReadPacket()) is not FLUSH:
            raise Malformed("expected flush behind the service's name")
        first = yield ReadPacket()
    if first is None:
        raise HangupError(SILENT)
    if first is FLUSH:
        return RefAdvertisement()
    if not isinstance(first, bytes):
        raise Malformed("a marker in the place of refs")
    word = chomp(first)
    lines: list[bytes]
    end: Marker
    lines, end = yield ReadSection()
    if end is not FLUSH:
        raise Malformed("expected flush behind what the server offers")
    if word == b"version 2":
        return OfferV2(parse_advertisement(lines))
    if word != b"version 1":
        if word[:8] == b"version ":
            raise Malformed(f"the server speaks '{quoted(word)}'")
        lines.insert(0, first)
    return ref_advertisement.parse(lines)


def list_refs(offer: Offer, prefixes: Sequence[bytes], agent: bytes) -> Dialogue[RefList]:
    """The refs of the server; in v2 it is asked for them."""
    wanted = tuple(prefixes)
    if isinstance(offer, RefAdvertisement):
        listed = RefList(dict(offer.refs), dict(offer.peeled), dict(offer.symrefs))
        return listed.beginning_with(wanted)
    if b"ls-refs" not in offer.capabilities:
        raise Malformed("the server offers no ls-refs")
    question = LsRefsRequest(
        peel=True,
        symrefs=True,
        unborn=b"unborn" in offer.features(b"ls-refs"),
        prefixes=wanted if len(wanted) < ls_refs.TOO_MANY_PREFIXES else (),
    )
    yield Send(request_v2(offer, b"ls-refs", agent, ls_refs.format_arguments(question)))
    yield EndRequest()
    lines: list[bytes]
    end: Marker
    lines, end = yield ReadSection()
    if end is not FLUSH:
        raise Malformed("expected flush behind the refs")
    refs: dict[bytes, bytes] = {}
    peeled: dict[bytes, bytes] = {}
    symrefs: dict[bytes, bytes] = {}
    digits = offer.hex_length
    for line in lines:
        ref = listed_ref.parse(line, digits)
        if ref.object_id is not None:
            refs[ref.name] = ref.object_id
        if ref.peeled is not None:
            peeled[ref.name] = ref.peeled
        if ref.target is not None:
            symrefs[ref.name] = ref.target
    # A server may ignore prefixes: they are only there to save it work.
    return RefList(refs, peeled, symrefs).beginning_with(wanted)


def request_v2(offer: OfferV2, command: bytes, agent: bytes, arguments: Sequence[bytes]) -> bytes:
    """One command with the capabilities that this server knows."""
    return command_request.format(
        CommandRequest(
            command,
            offer.object_format.encode(),
            agent if b"agent" in offer.capabilities else None,
        ),
        arguments,
        names_format=b"object-format" in offer.capabilities,
    )
