"""Roads over a socket: git://, and processes or threads that have the other end of a pair.

In: sockets, command lines. Out: :class:`~.road.Road`. Timeouts are the kernel's.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from gitserve.clients.failure import WORDS_MAX
from gitserve.clients.limits import CONNECT_TIMEOUT
from gitserve.errors import HangupError, PeerTimeout
from gitserve.transport.streams import SocketStream

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable

EXIT_SECONDS = 5.0
"""How long a process or thread may take to notice that we have hung up, before it is stopped."""


class SocketRoad:
    """A connected socket."""

    stateless = False

    def __init__(self, connection: socket.socket, timeout: float) -> None:
        self._socket = connection
        self._stream = SocketStream(connection, timeout)

    def read(self, size: int, /) -> bytes:
        """See :class:`~.road.Road`."""
        return self._stream.read(size)

    def write(self, data: Sendable, /) -> None:
        """See :class:`~.road.Road`."""
        self._stream.write(data)

    def write_all(self, pieces: Iterable[bytes], /) -> None:
        """See :class:`~.road.Road`."""
        for piece in pieces:
            self._stream.write(piece)

    def end_request(self) -> None:
        """See :class:`~.road.Road`: everything has left already."""

    def explain(self) -> bytes:
        """See :class:`~.road.Road`."""
        return b""

    def close(self) -> None:
        """See :class:`~.road.Road`."""
        self._socket.close()


def connect(host: str, port: int, timeout: float) -> SocketRoad:
    """To the first address of ``host`` that answers."""
    try:
        connection = socket.create_connection((host, port), CONNECT_TIMEOUT)
    except TimeoutError:
        raise PeerTimeout(f"{host}:{port} does not answer") from None
    except OSError as error:
        raise HangupError(f"cannot connect to {host}:{port}: {error.strerror or error}") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return SocketRoad(connection, timeout)


class ProcessRoad(SocketRoad):
    """A process of ours that has the other end as its standard input and output."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], timeout: float) -> None:
        ours, theirs = socket.socketpair()
        # A file and no pipe: nobody reads it while we wait for an answer.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the road
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                env=dict(environ),
            )
        except OSError as error:
            ours.close()
            self._errors.close()
            raise HangupError(f"cannot run {command[0]}: {error.strerror}") from error
        finally:
            theirs.close()
        super().__init__(ours, timeout)

    def explain(self) -> bytes:
        """What it wrote to standard error last, once it has ended."""
        if self._errors.closed:
            return b""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)
        length = self._errors.seek(0, 2)
        self._errors.seek(max(0, length - WORDS_MAX))
        return self._errors.read(WORDS_MAX)

    def close(self) -> None:
        """Hangs up, and sees the process end."""
        super().close()
        try:
            self._process.wait(EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(EXIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._errors.close()


class ThreadRoad(SocketRoad):
    """A function of ours that serves the other end on a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None], timeout: float) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(ours, timeout)
        self._thread = Thread(target=_serve_and_close, args=(serve, theirs), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hangs up, and sees the thread end."""
        super().close()
        self._thread.join(EXIT_SECONDS)


def _serve_and_close(serve: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection:
        serve(connection)
