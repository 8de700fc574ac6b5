"""A client that says exactly the bytes it is told to, however wrong.

In: a connection to a daemon. Out: packets, or how the connection ended. Written against Git's
document ``gitprotocol-common`` alone, so that it shares no mistake with the code under test.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.support.server import Server

FLUSH = b"0000"
DELIM = b"0001"


def pkt(line: bytes) -> bytes:
    """One pkt-line."""
    return b"%04x" % (len(line) + 4) + line


def greeting(service: bytes, path: bytes, extra: bytes = b"") -> bytes:
    """The first packet of git://; ``extra``: such as ``version=2``."""
    line = service + b" " + path + b"\0host=localhost\0"
    return pkt(line + (b"\0" + extra + b"\0" if extra else b""))


@dataclass(slots=True)
class Raw:
    """One connection."""

    connection: socket.socket

    @classmethod
    def to(cls, server: Server, timeout: float = 30.0) -> Self:
        return cls(server.connect(timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.connection.close()

    def send(self, *pieces: bytes) -> None:
        """Sends; a server that has hung up already is no error here."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.sendall(b"".join(pieces))

    def say_no_more(self) -> None:
        """Closes our half: the end of input for the server."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Goes away rudely, with an RST."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def exactly(self, count: int) -> bytes:
        """So many bytes, fewer at the end of the connection."""
        pieces = []
        while count > 0:
            try:
                piece = self.connection.recv(min(count, 1 << 20))
            except ConnectionResetError:
                break
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def packet(self) -> bytes | None:
        """The next packet's payload; ``None`` for a flush or the end."""
        size = self.exactly(4)
        if len(size) < 4 or int(size, 16) < 4:
            return None
        return self.exactly(int(size, 16) - 4)

    def section(self) -> list[bytes]:
        """Packets up to a flush or the end."""
        packets = []
        while (packet := self.packet()) is not None:
            packets.append(packet)
        return packets

    def rest(self, limit: int = 1 << 28) -> bytes:
        """Everything until the server closes; it must do so within the socket's timeout."""
        return self.exactly(limit)
