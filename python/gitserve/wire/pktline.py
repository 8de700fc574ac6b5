"""The packets everything else travels in: four hexadecimal digits of length, then the payload.

In: bytes as they arrive, cut anywhere. Out: payloads and the three special markers; the other way
round with :func:`encode`. It must not know what payloads mean.

Git's document: gitprotocol-common, "pkt-line Format"; gitprotocol-v2, "Packet-Line Framing".
"""

from __future__ import annotations

from binascii import Error as NotHex
from binascii import unhexlify
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache

from gitserve.errors import HangupError
from gitserve.record import TYPE_CHECKING, Record
from gitserve.wire.malformed import Malformed, quoted

if TYPE_CHECKING:
    from typing import Final, Literal

MAX_LENGTH: Final = 65520
"""Longest packet, length digits included: the protocol's own limit."""

MAX_PAYLOAD: Final = MAX_LENGTH - 4


class Marker(Enum):
    """The packets whose length says that there is no payload."""

    FLUSH = b"0000"
    """End of a message."""
    DELIM = b"0001"
    """End of a section (v2)."""
    RESPONSE_END = b"0002"
    """End of a response over a stateless road (v2)."""


class NeedMore(Enum):
    """The value of "not yet"."""

    NEED_MORE = "need more"


FLUSH: Final[Literal[Marker.FLUSH]] = Marker.FLUSH
DELIM: Final[Literal[Marker.DELIM]] = Marker.DELIM
RESPONSE_END: Final[Literal[Marker.RESPONSE_END]] = Marker.RESPONSE_END
NEED_MORE: Final[Literal[NeedMore.NEED_MORE]] = NeedMore.NEED_MORE

FLUSH_PKT: Final = b"0000"
DELIM_PKT: Final = b"0001"
RESPONSE_END_PKT: Final = b"0002"

Packet = bytes | Marker

_MARKERS: Final = (Marker.FLUSH, Marker.DELIM, Marker.RESPONSE_END)

_SHORT: Final = {b"%04x" % length: length for length in range(256) if length != 3}
"""What most packets begin with, and how long they are: looked up in a third of the time."""


MAX_REMEMBERED = 256
"""Small requests, cut in lines: clients say the same again and again."""

MAX_REMEMBERED_SIZE = 512
"""Bytes: clients choose them. What names commits is longer mostly, and different each time."""


class Run(Record):
    """Packets that arrived together: payloads, and the marker behind the last of them if any."""

    lines: list[bytes]
    end: Marker | None
    """``None``: the message goes on with what arrives next."""


class PktDecoder:
    """Cuts a stream into packets, without ever waiting.

    Holds what was fed and not yet taken: a caller that takes before it feeds again needs no more
    memory than one packet and one read. A bad length is an error for good: the stream is lost.
    """

    __slots__ = ("_buffer", "_fed", "_fed_size", "_needed", "_pos")

    def __init__(self, data: bytes = b"") -> None:
        self._buffer = data
        self._pos = 0
        # Joined only when they complete a packet, so that one byte at a time stays linear.
        self._fed: list[bytes] = []
        self._fed_size = 0
        self._needed = 4

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        if not self._fed and self._pos == len(self._buffer):
            self._buffer = data
            self._pos = 0
        else:
            self._fed.append(data)
            self._fed_size += len(data)

    def next(self) -> Packet | Literal[NeedMore.NEED_MORE]:
        """The next packet, or :data:`NEED_MORE`. Raises :class:`Malformed`."""
        if not self._holds(4):
            return NEED_MORE
        length = _length(self._buffer, self._pos)
        if length < 3:
            self._pos += 4
            return _MARKERS[length]
        if not self._holds(length):
            return NEED_MORE
        start = self._pos
        self._pos = start + length
        self._needed = 4
        return self._buffer[start + 4 : self._pos]

    def take_run(self) -> Run | None:
        """All whole packets up to the first marker; ``None`` when not even one is whole.

        Raises :class:`Malformed` once the packets before the bad one have been taken, so that
        the outcome does not depend on how the bytes were cut.
        """
        size = self._size()
        if size < self._needed:
            return None
        self._needed = 4
        self._holds(size)
        split = _split if len(self._buffer) > MAX_REMEMBERED_SIZE else _remembered_split
        lines, end, self._pos, self._needed = split(self._buffer, self._pos)
        if not lines and end is None:
            return None
        return Run([*lines], end)

    def take_rest(self) -> bytes:
        """The raw bytes behind the last packet taken, and forgets them: a pack begins there."""
        self._holds(self._size())
        rest = self._buffer[self._pos :]
        self._buffer = b""
        self._pos = 0
        self._needed = 4
        return rest

    def finish(self) -> None:
        """The stream has ended. Raises :class:`HangupError` in the middle of a packet."""
        if self._size():
            raise HangupError("the remote end hung up in the middle of a packet")

    def _size(self) -> int:
        return len(self._buffer) - self._pos + self._fed_size

    def _holds(self, count: int) -> bool:
        """Are ``count`` bytes there? They are in one piece then."""
        held = len(self._buffer) - self._pos
        if held >= count:
            return True
        if held + self._fed_size < count:
            return False
        self._fed.insert(0, self._buffer[self._pos :])
        self._buffer = b"".join(self._fed)
        self._pos = 0
        self._fed.clear()
        self._fed_size = 0
        return True


def _split(buffer: bytes, pos: int) -> tuple[Sequence[bytes], Marker | None, int, int]:
    """Whole packets from ``pos`` on, up to the first marker; it; where they end; and how many bytes
    the next packet needs.

    Raises :class:`Malformed` where there is none before the bad one.
    """
    size = len(buffer)
    lines: list[bytes] = []
    while size - pos >= 4:
        short = _SHORT.get(buffer[pos : pos + 4])
        try:
            length = _length(buffer, pos) if short is None else short
        except Malformed:
            if lines:
                break
            raise
        if length < 3:
            return lines, _MARKERS[length], pos + 4, 4
        stop = pos + length
        if stop > size:
            return lines, None, pos, length
        lines.append(buffer[pos + 4 : stop])
        pos = stop
    return lines, None, pos, 4


_remembered_split = lru_cache(MAX_REMEMBERED)(_split)


def _length(buffer: bytes, pos: int) -> int:
    """The packet length at ``pos``: 0, 1, 2 for a marker, else 4 to :data:`MAX_LENGTH`."""
    digits = buffer[pos : pos + 4]
    try:
        high, low = unhexlify(digits)
    except NotHex:
        raise Malformed(f"protocol error: bad line length character: {quoted(digits)}") from None
    length = high << 8 | low
    if length == 3 or length > MAX_LENGTH:
        raise Malformed(f"protocol error: bad line length {length}")
    return length


def encode(payload: bytes) -> bytes:
    """One packet. Raises :class:`ValueError` beyond :data:`MAX_PAYLOAD`."""
    length = len(payload) + 4
    if length > MAX_LENGTH:
        raise ValueError(f"a packet cannot hold {len(payload)} bytes")
    return b"%04x%b" % (length, payload)


def encode_all(payloads: Iterable[bytes]) -> bytes:
    """Many packets in one buffer, no marker among them."""
    return b"".join([encode(payload) for payload in payloads])


def chomp(line: bytes) -> bytes:
    """A text line without its line feed, which a sender may leave out."""
    return line[:-1] if line.endswith(b"\n") else line
