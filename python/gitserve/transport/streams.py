"""Sockets as what services read and write.

In: a socket. Out: bytes, or the peer's fault as PeerTimeout or HangupError. Timeouts are the
kernel's, so that they cost no system call of their own.
"""

from __future__ import annotations

import socket
import struct
import time
from functools import lru_cache

from gitserve.errors import HangupError, PeerTimeout
from gitserve.record import TYPE_CHECKING, Protocol
from gitserve.service.streams import ByteSink, ByteSource

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable

LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending before the connection is cut. Closing a
socket with unread bytes makes the kernel reset it, and the client never reads why."""


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

    __slots__ = ("_deadline", "_is_limited", "_socket", "_timeout")

    def __init__(self, connection: socket.socket, timeout: float, init: float = 0.0) -> None:
        """``timeout``: seconds for each read and each piece written; 0 for ever.

        ``init``: as :meth:`expect_within`, from the beginning.
        """
        self._socket = connection
        self._timeout = timeout
        self._deadline = time.monotonic() + init if init else None
        if connection.gettimeout() is not None:
            connection.setblocking(True)
        self._limit(socket.SO_RCVTIMEO, init or timeout)
        self._is_limited = bool(init)
        """What the next read may take has been said."""
        self._limit(socket.SO_SNDTIMEO, timeout)

    def fileno(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def expect_within(self, seconds: float) -> None:
        """All reads from now on have to be done by then; 0 takes the limit away."""
        self._is_limited = False
        if seconds:
            self._deadline = time.monotonic() + seconds
        else:
            self._deadline = None
            self._limit(socket.SO_RCVTIMEO, self._timeout)

    def read(self, size: int, /) -> bytes:
        """See :class:`~gitserve.service.streams.ByteSource`."""
        if self._deadline is not None:
            if self._is_limited:
                self._is_limited = False
            else:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    raise PeerTimeout("no request in time")
                self._limit(socket.SO_RCVTIMEO, left)
        try:
            return self._socket.recv(size)
        except BlockingIOError:
            raise PeerTimeout("the peer said nothing for too long") from None
        except OSError as error:
            raise HangupError(HangupError.GONE) from error

    def write(self, data: Sendable, /) -> None:
        """See :class:`~gitserve.service.streams.ByteSink`."""
        try:
            self._socket.sendall(data)
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
                self._limit(socket.SO_RCVTIMEO, left)
                if not self._socket.recv(1 << 16):
                    return
        except OSError:
            return

    def _limit(self, option: int, seconds: float) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, option, _time_value(seconds))
        except OSError as error:
            raise HangupError(HangupError.GONE) from error


@lru_cache(16)
def _time_value(seconds: float) -> bytes:
    """As the kernel takes it; most are one of the few that the operator chose."""
    micros = max(1, int(seconds * 1_000_000)) if seconds else 0
    return struct.pack("@ll", micros // 1_000_000, micros % 1_000_000)
