"""Performs a client's dialogues over a road.

In: dialogues and a road. Out: what the dialogues return; pack bytes and progress to whoever was
named for them. Must not know protocol versions nor what packets mean, but for the two that end
everything: ``ERR`` and band 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from gitserve.clients.effects import (
    Dialogue,
    EndRequest,
    ReadPacket,
    ReadSection,
    Send,
    SendPack,
    TakeArchive,
    TakePack,
    TakeReport,
)
from gitserve.clients.failure import remote_error
from gitserve.clients.limits import ClientLimits
from gitserve.clients.road import Road
from gitserve.errors import HangupError, PeerError
from gitserve.service.streams import Conversation
from gitserve.wire import error_line
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import FLUSH, Marker, Packet

T = TypeVar("T")

Sink = Callable[[bytes], object]


def ignore(_data: bytes, /) -> None:
    """Where progress goes that nobody wants."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Who gets what the server sends, and gives what it is sent."""

    pack: Sink = ignore
    """The pack of a fetch, or the bytes of an archive."""
    progress: Sink = ignore
    """Band 2, as it comes: text for a person."""
    pack_to_send: Iterable[bytes] = ()


class Line:
    """One connection, and the dialogues over it, one after the other."""

    __slots__ = ("_conversation", "_limits", "_road")

    def __init__(self, road: Road, limits: ClientLimits) -> None:
        self._road = road
        self._limits = limits
        self._conversation = Conversation(road, road)

    def run(self, dialogue: Dialogue[T], parties: Parties | None = None) -> T:
        """Until the dialogue ends; what it returns. Raises what ended it early."""
        parties = parties or Parties()
        reply: object = None
        try:
            while True:
                effect = dialogue.send(reply)
                reply = None
                match effect:
                    case ReadPacket():
                        reply = self._read_packet()
                    case ReadSection():
                        reply = self._read_section()
                    case Send():
                        self._conversation.write(effect.data)
                    case EndRequest():
                        self._conversation.flush()
                        self._road.end_request()
                    case SendPack():
                        self._send_pack(parties.pack_to_send)
                    case TakePack(banded=False):
                        while data := self._conversation.read_raw():
                            parties.pack(data)
                    case TakePack() | TakeArchive():
                        self._take_bands(parties.pack, parties.progress)
                    case TakeReport():
                        reply = self._take_report(parties.progress)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except HangupError as error:
            words = self._road.explain()
            if words.strip():
                raise remote_error(words) from error
            raise
        finally:
            dialogue.close()

    def _read_packet(self) -> Packet | None:
        packet = self._conversation.read_packet()
        if isinstance(packet, bytes):
            _raise_error_line(packet)
        return packet

    def _read_section(self) -> tuple[list[bytes], Marker]:
        lines: list[bytes] = []
        size = 0
        while True:
            run = self._conversation.read_run()
            if run is None:
                raise HangupError("the server hung up in the middle of an answer")
            size += sum(map(len, run.lines))
            lines += run.lines
            if run.lines:
                # It is the last thing a server says, whatever it was in the middle of.
                _raise_error_line(run.lines[-1])
            if size > self._limits.max_section_bytes or len(lines) > self._limits.max_lines:
                raise PeerError(f"the server's answer has more than {len(lines) - 1} lines")
            if run.end is not None:
                return lines, run.end

    def _send_pack(self, pieces: Iterable[bytes]) -> None:
        self._conversation.flush()
        try:
            self._road.write_all(pieces)
        except HangupError:
            # A server that has refused already says why; that is read next.
            return

    def _take_bands(self, data: Sink, progress: Sink, *, may_end: bool = False) -> None:
        idle = 0
        while True:
            run = self._conversation.read_run()
            if run is None:
                if may_end:
                    return
                raise HangupError("the server hung up in the middle of its data")
            for packet in run.lines:
                band = packet[:1]
                if band == b"\1" and len(packet) > 1:
                    idle = 0
                    data(packet[1:])
                    continue
                idle += 1
                if band == b"\2":
                    progress(packet[1:])
                elif band == b"\3":
                    raise remote_error(packet[1:])
                elif band != b"\1":
                    _raise_error_line(packet)
                    raise Malformed(f"bad band: '{quoted(packet[:4])}'")
            if idle > self._limits.max_idle_packets:
                raise PeerError("the server sends progress without end, and no data")
            if run.end is FLUSH:
                return
            if run.end is not None:
                raise Malformed("a marker in the middle of the data")

    def _take_report(self, progress: Sink) -> bytes:
        pieces: list[bytes] = []
        room = self._limits.max_report_bytes

        def take(piece: bytes) -> None:
            nonlocal room
            room -= len(piece)
            if room < 0:
                raise PeerError("the server's report is too long")
            pieces.append(piece)

        self._take_bands(take, progress, may_end=True)
        return b"".join(pieces)


def _raise_error_line(packet: bytes) -> None:
    words = error_line.parse(packet)
    if words is not None:
        raise remote_error(words)
