"""Sockets as what services read and write.

In: a socket. Out: bytes, or the peer's fault as PeerTimeout or HangupError. Timeouts are the
kernel's, so that they cost no system call of their own.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from functools import lru_cache

from gitserve.errors import HangupError, PeerTimeout
from gitserve.record import TYPE_CHECKING, Protocol
from gitserve.service.streams import ByteSink, ByteSource, Chunk

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable

LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending before the connection is cut. Closing a
socket with unread bytes makes the kernel reset it, and the client never reads why."""


PIECE = 256 << 10
"""Bytes given to the kernel at once. Of more it copies megabytes before it looks what the other end
has taken meanwhile, and the other end reads what no processor's cache has any more."""

LEAST_WAIT = 1.0
"""Seconds of the kernel's for a read with which a longer limit is kept, by reading again."""


class ClientStream(ByteSource, ByteSink, Protocol):
    """A client's connection, whatever it is made of."""

    def expect_within(self, seconds: float) -> None:
        """All reads from now on have to be done by then; 0 takes the limit away."""

    def drain(self) -> None:
        """Lets the client read what it was told last."""

    def fileno(self) -> int:
        """The descriptor that is written to."""


class SocketStream:
    """A connected socket. Reads and writes may be on different threads, but one of each."""

    __slots__ = ("_blocks", "_deadline", "_is_limited", "_socket", "_timeout", "_wait")

    def __init__(
        self,
        connection: socket.socket,
        timeout: float,
        init: float = 0.0,
        *,
        is_prepared: bool = False,
    ) -> None:
        """``timeout``: seconds for each read and each piece written; 0 for ever.

        ``init``: as :meth:`expect_within`, from the beginning. ``is_prepared``: both have been
        said to the socket that listened for it, with :func:`prepare`.
        """
        self._socket = connection
        self._blocks: bool | None = None
        """Its descriptor does; None as long as nobody has looked."""
        self._timeout = timeout
        self._deadline = time.monotonic() + init if init else None
        self._is_limited = bool(init)
        """What the next read may take has been said."""
        self._wait = init or timeout
        """What the kernel gives a read; 0 for ever."""
        if is_prepared:
            return
        if connection.gettimeout() is not None:
            connection.setblocking(True)
        self._limit_reads(self._wait)
        _limit(connection, socket.SO_SNDTIMEO, timeout)

    def fileno(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def expect_within(self, seconds: float) -> None:
        """All reads from now on have to be done by then; 0 takes the limit away."""
        self._is_limited = False
        if seconds:
            self._deadline = time.monotonic() + seconds
            return
        self._deadline = None
        is_too_long = self._timeout and not 0 < self._wait <= self._timeout
        if is_too_long or 0 < self._wait < LEAST_WAIT:
            self._limit_reads(self._timeout)

    def read(self, size: int, /) -> bytes:
        """See :class:`~gitserve.service.streams.ByteSource`."""
        if self._deadline is not None:
            if self._is_limited:
                self._is_limited = False
            else:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise PeerTimeout("no request in time")
                self._limit_reads(left)
        waited = 0.0
        while True:
            try:
                return self._socket.recv(size)
            except BlockingIOError:
                waited += self._wait
                if self._deadline is not None or 0 < self._timeout <= waited:
                    raise PeerTimeout("the peer said nothing for too long") from None
            except OSError as error:
                raise HangupError(HangupError.GONE) from error

    def write(self, data: Sendable, /) -> None:
        """See :class:`~gitserve.service.streams.ByteSink`."""
        try:
            if type(data) is Chunk and self._is_plain():
                data.send(self._socket.fileno())
                return
            if len(data) <= PIECE:
                self._socket.sendall(data)
                return
            with memoryview(data) as left:
                for at in range(0, len(left), PIECE):
                    self._socket.sendall(left[at : at + PIECE])
        except BlockingIOError:
            raise PeerTimeout("the peer took nothing for too long") from None
        except OSError as error:
            raise HangupError(HangupError.GONE) from error

    def drain(self) -> None:
        """Lets the client read what it was told last: ends our side, reads its side away."""
        deadline = time.monotonic() + LINGER_SECONDS
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self._limit_reads(left)
                if not self._socket.recv(1 << 16):
                    return
        except OSError:
            return

    def _is_plain(self) -> bool:
        """Is what is written to its descriptor what the client reads, as with no socket that is
        wrapped, by ``ssl`` for one? And does it wait there, and not in Python?"""
        if type(self._socket) is not socket.socket or self._socket.gettimeout() is not None:
            return False
        if self._blocks is None:
            self._blocks = os.get_blocking(self._socket.fileno())
        return self._blocks

    def _limit_reads(self, seconds: float) -> None:
        self._wait = seconds
        _limit(self._socket, socket.SO_RCVTIMEO, seconds)


def prepare(listener: socket.socket, timeout: float, init: float) -> None:
    """Says the limits to a listening socket. Where its connections have them then, nothing need be
    said to each of these.

    To accept one may raise BlockingIOError from now on.
    """
    _limit(listener, socket.SO_RCVTIMEO, init or timeout)
    _limit(listener, socket.SO_SNDTIMEO, timeout)


def are_inherited(connection: socket.socket, listener: socket.socket) -> bool:
    """Has a connection the limits of the socket that listened for it? So it is on Linux."""

    def told(of: socket.socket) -> list[bytes]:
        size = len(_time_value(0))
        options = (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)
        return [of.getsockopt(socket.SOL_SOCKET, option, size) for option in options]

    try:
        return told(connection) == told(listener)
    except OSError:  # one of them is closed already
        return False


def _limit(of: socket.socket, option: int, seconds: float) -> None:
    try:
        of.setsockopt(socket.SOL_SOCKET, option, _time_value(seconds))
    except OSError as error:
        raise HangupError(HangupError.GONE) from error


@lru_cache(16)
def _time_value(seconds: float) -> bytes:
    """As the kernel takes it; most are one of the few that the operator chose."""
    micros = max(1, int(seconds * 1_000_000)) if seconds else 0
    return struct.pack("@ll", micros // 1_000_000, micros % 1_000_000)
