"""What a service needs of a road: a source and a sink of bytes, and the little between them.

In: whatever a transport reads. Out: whatever it shall write. Must not know sockets or pipes, nor
what the bytes mean beyond the packets in which they are cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gitserve._core import Chunk as Chunk
from gitserve._core import Client
from gitserve.errors import GitServeError, HangupError, PeerError
from gitserve.record import TYPE_CHECKING, Protocol, Record
from gitserve.wire.pktline import NEED_MORE, Packet, PktDecoder, Run

if TYPE_CHECKING:
    from typing import TypeAlias

    Sendable: TypeAlias = bytes | Chunk
    """What goes out: bytes, or the core's own, which nobody copies before the kernel does."""

READ_SIZE = 64 << 10
"""Bytes asked of a source at once: a large packet, or a piece of a pack worth a system call."""

JOIN_BELOW = 96 << 10
"""Bytes. Smaller writes wait for each other, because each that leaves costs a system call and, on
a socket, a packet; copying 90 KB costs less. A pack's buffers are larger, but for the last."""


def joined(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Small pieces go together until they are ``size`` bytes; what is large goes as it is."""
    held: list[bytes] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= size:
            yield b"".join(held)
            held.clear()
            count = 0
    if held:
        yield b"".join(held)


class ByteSource(Protocol):
    """Where a client's bytes come from."""

    def read(self, size: int, /) -> bytes:
        """At least one and at most ``size`` bytes, as soon as there are any; ``b""`` at the end.

        Raises :class:`~gitserve.errors.PeerTimeout`, :class:`~gitserve.errors.HangupError`.
        """


class ByteSink(Protocol):
    """Where a client's bytes go."""

    def write(self, data: Sendable, /) -> None:
        """All of it, or an exception: PeerTimeout, HangupError."""


class Begun(Record):
    """What a client has been told before somebody else speaks on."""

    held: bytes = b""
    """And has not been sent yet."""
    owes: bool = False
    """As :attr:`Conversation.owes`."""
    head: bytes = b""
    """What this road sends before all that; not part of the conversation."""
    may_listen: bool = True
    """As of :class:`Conversation`."""


class _Nobody:
    """A sink when its reader has gone."""

    def write(self, _data: Sendable, /) -> None:
        raise HangupError(HangupError.GONE)


_NOBODY = _Nobody()


class Conversation:
    """One client: its packets and raw bytes on the way in, joined writes on the way out."""

    __slots__ = (
        "_decoder", "_held", "_held_bytes", "_sink", "_source", "client", "direct", "owes",
        "received", "sent",
    )  # fmt: skip

    def __init__(
        self,
        source: ByteSource,
        sink: ByteSink,
        descriptor: int | None = None,
        *,
        may_listen: bool = True,
    ) -> None:
        """``descriptor``: that behind the sink, where its reader can be seen to go.

        ``may_listen``: what is written to it directly is as good as what is written to the sink, so
        that a reader who has ended his own side can be asked whether he is there.
        """
        self.client = None if descriptor is None else Client(descriptor, may_listen=may_listen)
        """The other end, for who works while it waits."""
        self.direct = descriptor if may_listen else None
        """What is written to this one is as good as what is written here."""
        self.owes = False
        """The first byte of what is sent next has been sent, a ``0``."""
        self._source = source
        self._sink = sink
        self._decoder = PktDecoder()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.received = 0
        """Bytes read so far."""
        self.sent = 0
        """Bytes written so far."""

    def read_run(self) -> Run | None:
        """The packets that are there, at least one; None at a clean end of input.

        What waits to be sent is sent before anything is waited for: the client may wait for it.
        """
        while True:
            run = self._decoder.take_run()
            if run is not None:
                return run
            data = self._read(READ_SIZE)
            if not data:
                self._decoder.finish()
                return None
            self._decoder.feed(data)

    def read_packet(self) -> Packet | None:
        """One packet and no more; None at a clean end of input."""
        while True:
            packet = self._decoder.next()
            if packet is not NEED_MORE:
                return packet
            data = self._read(READ_SIZE)
            if not data:
                self._decoder.finish()
                return None
            self._decoder.feed(data)

    def read_raw(self, least: int = 1) -> bytes:  # noqa: ARG002 - for roads that must know
        """What follows the last packet, in pieces; ``b""`` at the end of input.

        ``least``: bytes that are sure to come still, for a road on which asking for more would
        wait for them.
        """
        return self._decoder.take_rest() or self._read(READ_SIZE)

    def take_rest(self) -> bytes:
        """What has been read and belongs to nobody yet."""
        return self._decoder.take_rest()

    def write(self, data: Sendable) -> None:
        """Sends, now or with what comes next. Large buffers are passed on as they are."""
        if len(data) >= JOIN_BELOW:
            self.flush()
            self._send(data)
            return
        # a file that cannot be read is to fail here, where the client can still be told
        self._held.append(bytes(data) if type(data) is Chunk else data)
        self._held_bytes += len(data)
        if self._held_bytes >= JOIN_BELOW:
            self.flush()

    def flush(self) -> None:
        """Everything written so far leaves."""
        if self._held:
            held = self._held[0] if len(self._held) == 1 else b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
            self._send(held)

    def let_go(self) -> Begun:
        """For who writes to :attr:`direct` in our place from now on."""
        held = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        owes = self._takes_owed()
        self.owes = False
        return Begun(held, owes)

    def go_on(self, begun: Begun) -> None:
        """From where somebody else let go. It leaves with what is written next and not before: as
        long as nothing has left, the answer may still be another one."""
        said = begun.head + begun.held
        self.owes = begun.owes
        if said:
            self._held.append(said)
            self._held_bytes += len(said)

    def take_back(self, begun: Begun) -> None:
        """He to whom it was let go has written nothing."""
        self.go_on(begun.but(head=b""))

    def cut(self) -> None:
        """Nothing more can be said."""
        self._sink = _NOBODY

    @property
    def is_cut(self) -> bool:
        """Something was written of which nobody knows how much has arrived, or cannot be."""
        return self._sink is _NOBODY

    def _takes_owed(self) -> bool:
        return self.owes or (self.client is not None and self.client.take_owed())

    def _send(self, data: Sendable) -> None:
        size = len(data)
        if self._takes_owed():
            self.owes = False
            # it was sent the first byte, to see whether it is there
            try:
                data = bytes(data)
            except GitServeError:
                self._sink.write(b"005\1")  # an empty packet then
                raise
            if data[:1] != b"0":
                raise HangupError(HangupError.GONE)
            data = data[1:]
        try:
            self._sink.write(data)
        except PeerError:
            self.cut()  # what came behind a part of it could not be told from the rest
            raise
        self.sent += size

    def _read(self, size: int) -> bytes:
        self.flush()
        data = self._source.read(size)
        self.received += len(data)
        return data
