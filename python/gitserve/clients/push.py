"""The dialogue of a push, behind the advertisement.

In: what the server offered, which refs shall move. Out: effects; in the end the server's report.

Git's document: gitprotocol-pack, "Pushing Data To a Server"; gitprotocol-capabilities.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitserve.clients.effects import (
    Dialogue,
    EndRequest,
    ReadPacket,
    ReadSection,
    Send,
    SendPack,
    TakeReport,
)
from gitserve.errors import HangupError, PeerError
from gitserve.wire import receive_commands, report
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import FLUSH, FLUSH_PKT, NEED_MORE, Marker, PktDecoder, encode
from gitserve.wire.receive_commands import Command, ReceiveRequest
from gitserve.wire.ref_advertisement import RefAdvertisement
from gitserve.wire.report import Report

CapabilityMap = dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class PushOrder:
    """One push, with at least one command."""

    commands: tuple[Command, ...]
    shallow: tuple[bytes, ...] = ()
    """Commits whose parents the client lacks."""
    options: tuple[bytes, ...] = ()
    atomic: bool = False
    quiet: bool = False
    agent: bytes = b"gitserve"


def push(offer: RefAdvertisement, order: PushOrder) -> Dialogue[Report | None]:
    """``None`` when the server does not report."""
    capabilities = _capabilities(offer, order)
    request = ReceiveRequest(order.commands, capabilities, order.shallow)
    yield Send(receive_commands.format(request))
    if order.options:
        yield Send(b"".join([encode(option) for option in order.options]) + FLUSH_PKT)
    if not all(command.is_delete for command in order.commands):
        yield SendPack()
    yield EndRequest()
    reports = b"report-status-v2" in capabilities or b"report-status" in capabilities
    if b"side-band-64k" in capabilities:
        data: bytes = yield TakeReport()
        return report.parse(_lines(data)) if reports else None
    if not reports:
        # Its end is the only sign that it has done what it could.
        while (yield ReadPacket()) is not None:
            pass
        return None
    lines: list[bytes]
    end: Marker
    lines, end = yield ReadSection()
    if end is not FLUSH:
        raise Malformed("expected flush behind the report")
    return report.parse(lines)


def _capabilities(offer: RefAdvertisement, order: PushOrder) -> CapabilityMap:
    offered = offer.capabilities
    if order.atomic and b"atomic" not in offered:
        raise PeerError("the server does not support atomic pushes")
    if order.options and b"push-options" not in offered:
        raise PeerError("the server does not support push options")
    status = b"report-status-v2" if b"report-status-v2" in offered else b"report-status"
    wished = [
        (status, True),
        (b"side-band-64k", True),
        (b"atomic", order.atomic),
        (b"quiet", order.quiet),
        (b"push-options", bool(order.options)),
    ]
    chosen: CapabilityMap = {word: None for word, wanted in wished if wanted and word in offered}
    if b"object-format" in offered:
        chosen[b"object-format"] = offered[b"object-format"]
    if b"agent" in offered:
        chosen[b"agent"] = order.agent
    return chosen


def _lines(data: bytes) -> list[bytes]:
    """The report's packets, which travelled inside those of band 1."""
    decoder = PktDecoder(data)
    lines: list[bytes] = []
    while (packet := decoder.next()) is not NEED_MORE:
        if packet is FLUSH:
            return lines
        if not isinstance(packet, bytes):
            raise Malformed("a marker in the middle of the report")
        lines.append(packet)
    raise HangupError("the server hung up before it reported what became of the push")
