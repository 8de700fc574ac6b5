"""A proto as the road of a session: whatever object a handler was given to talk through.

In: a ``Protocol``, a ``ReceivableProtocol``, dulwich's, or any object with ``read_pkt_line``,
``write_pkt_line`` and ``write_sideband``. Out: a :class:`~gitserve.service.streams.Conversation`.
Which of them it is, is asked once, at the door. Must not know what is said.

Three kinds. Where there is ``recv``, bytes are taken as they arrive, the fast way. Where there is
only ``read``, which waits for all it was asked for, nothing may be asked for that might not come.
Where there are only packets, packets it is, and what we say is cut into packets again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitserve.errors import GitProtocolError, HangupError, HangupException, PeerError, PeerTimeout
from gitserve.service.streams import READ_SIZE, Conversation
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import (
    FLUSH,
    NEED_MORE,
    Packet,
    PktDecoder,
    Run,
)

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable


class Gone(HangupError):
    """The proto says that the peer is gone."""


class _Source:
    """Reads through a function like a socket's ``recv``."""

    __slots__ = ("_recv",)

    def __init__(self, recv: Callable[[int], bytes]) -> None:
        self._recv = recv

    def read(self, size: int, /) -> bytes:
        data: bytes = _translated(self._recv, size)
        return data


class _Sink:
    """Writes through a proto's ``write``."""

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write

    def write(self, data: Sendable, /) -> None:
        _translated(self._write, bytes(data))


class _PacketSink:
    """Says through a proto that takes only whole packets what is already framed."""

    __slots__ = ("_banded", "_decoder", "_proto")

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self._decoder = PktDecoder()
        self._banded = hasattr(proto, "write_sideband")

    def write(self, data: Sendable, /) -> None:
        proto = self._proto
        self._decoder.feed(bytes(data))
        while (packet := self._decoder.next()) is not NEED_MORE:
            if not isinstance(packet, bytes):
                _translated(proto.write_pkt_line, None)
            elif self._banded and packet[:1] in (b"\x01", b"\x02", b"\x03"):
                _translated(proto.write_sideband, packet[0], packet[1:])
            else:
                _translated(proto.write_pkt_line, packet)


class PacketConversation(Conversation):
    """Takes one packet after the other, and of raw bytes no more than must come."""

    __slots__ = ("_exact", "_proto", "_recv")

    def __init__(self, proto: Any, sink: _Sink | _PacketSink, *, ends: bool) -> None:
        """``ends``: the input ends with the request; asking for too much waits for nothing."""
        recv = getattr(proto, "recv", None) or (getattr(proto, "read", None) if ends else None)
        super().__init__(_Source(recv or _nothing), sink)
        self._proto = proto
        self._recv: Callable[[int], bytes] | None = recv
        self._exact: Callable[[int], bytes] | None = getattr(proto, "read", None)

    def read_packet(self) -> Packet | None:
        self.flush()
        try:
            line: bytes | None = _translated(self._proto.read_pkt_line)
        except Gone:
            return None  # protos do not tell a clean end from another
        self.received += 4 if line is None else 4 + len(line)
        return FLUSH if line is None else line

    def read_run(self) -> Run | None:
        packet = self.read_packet()
        if packet is None:
            return None
        return Run([packet], None) if isinstance(packet, bytes) else Run([], FLUSH)

    def read_raw(self, least: int = 1) -> bytes:
        if self._recv is not None:
            return self._read(READ_SIZE)
        if self._exact is None:
            raise PeerError("this proto has neither read nor recv, and a pack is due")
        self.flush()
        data: bytes = _translated(self._exact, least)
        self.received += len(data)
        return data


def converse(proto: Any, *, stateless: bool = False) -> Conversation:
    """The conversation over this proto. ``stateless``: its input ends with one request."""
    writes = getattr(proto, "write", None)
    sink = _PacketSink(proto) if writes is None else _Sink(writes)
    recv = getattr(proto, "recv", None)
    # a packet that was put back, or a class that reads its packets in a way of its own
    peculiar = bool(getattr(proto, "_unread", None)) or getattr(proto, "_readahead", None)
    if writes is None or peculiar:
        return PacketConversation(proto, sink, ends=stateless)
    if recv is None:
        recv = _ready_reader(getattr(proto, "read", None))
    if recv is None:
        return PacketConversation(proto, sink, ends=stateless)
    return Conversation(_Source(recv), sink)


def hang_up(proto: Any, conversation: Conversation) -> None:
    """The request is over: what was read too far belongs to whoever reads this proto next."""
    rest = conversation.take_rest()
    give_back = getattr(proto, "give_back", None)
    if rest and give_back is not None:
        give_back(rest)


def speaks_v2(conversation: Conversation) -> bool:
    """Packets alone do not tell a delimiter from a flush, which version 2 needs."""
    return not isinstance(conversation, PacketConversation)


def _ready_reader(read: Any) -> Callable[[int], bytes] | None:
    """Of a file's ``read``, the method beside it that does not wait for all it was asked for."""
    of = getattr(read, "__self__", None)
    if of is None or getattr(read, "__name__", "") != "read":
        return None
    read1 = getattr(of, "read1", None)
    return read1 if callable(read1) else None


def _nothing(_size: int) -> bytes:
    return b""


def _translated(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls; what it raises about the peer comes out in our words."""
    try:
        return function(*arguments)
    except PeerError:
        raise
    except HangupException as error:
        raise Gone(HangupError.GONE) from error
    except GitProtocolError as error:
        raise Malformed(str(error)) from error
    except TimeoutError as error:
        raise PeerTimeout("the client said, or took, nothing for too long") from error
    except OSError as error:
        raise HangupError(HangupError.GONE) from error
