"""Threads that wait for clients, in one process.

In: listening sockets and what to do with a connection. Out: connections served, many at once. Each
thread waits in ``accept`` itself and serves what it got, so that no connection is handed from one
thread to another; a new thread is started only when the last one that waited has got a client.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gitserve.record import Protocol
from gitserve.service.sharing import PROCESSORS
from gitserve.transport.counting import ConnectionCount
from gitserve.transport.streams import are_inherited

IDLE_KEPT = 8
"""Threads that go on waiting on one socket when a burst is over; starting one costs some 50 µs."""

ACCEPT_PAUSE = 0.1
"""Seconds to wait when the kernel has no descriptor or memory for another connection."""

STACK_SIZE = 1 << 20
"""Bytes of address space a thread; only what it touches is memory. The default is eight times it,
which many connections would make a large number."""


@dataclass(slots=True)
class Connection:
    """A client that is being served."""

    socket: socket.socket
    peer: object
    asked: bool = False
    """It has said what it wants: it is not to be cut off just because we stop."""
    is_prepared: bool = False
    """It has the server's time limits, from the socket that listened for it."""


Serve = Callable[[Connection], None]


class Listener(Protocol):
    """Where connections come from."""

    def accept(self) -> tuple[socket.socket, object]:
        """The next, and who it is. Raises OSError."""

    def fileno(self) -> int:
        """Below 0 when it is closed."""


class Pool:
    """All threads of one process."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        serve: Serve,
        refuse: Serve,
        count: ConnectionCount,
        *,
        are_prepared: bool = False,
    ) -> None:
        """``refuse`` is called instead of ``serve`` when there are too many. ``are_prepared``: the
        listeners have the server's time limits.
        """
        self._listeners = listeners
        self._serve = serve
        self._refuse = refuse
        self._count = count
        self._are_prepared = are_prepared
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._idle = dict.fromkeys(range(len(listeners)), 0)
        self._connections: dict[int, Connection] = {}
        self._stopping = False

    def start(self) -> None:
        """Begins to wait for clients."""
        threading.stack_size(STACK_SIZE)
        for index in range(len(self._listeners)):
            self._idle[index] = 1
            self._start_thread(index)

    def stop(self, grace: float) -> None:
        """Takes no more clients; waits for those that asked for something, then cuts them off."""
        with self._lock:
            self._stopping = True
            for connection in self._connections.values():
                if not connection.asked:
                    _cut(connection.socket)
            self._wait_for_all(grace)
            for connection in self._connections.values():
                _cut(connection.socket)
            self._wait_for_all(2.0)  # what they clean up is in files, and quick

    def _wait_for_all(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._connections and (left := deadline - time.monotonic()) > 0:
            self._changed.wait(left)

    def _start_thread(self, index: int) -> None:
        threading.Thread(target=self._run, args=(index,), daemon=True).start()

    def _run(self, index: int) -> None:
        listener = self._listeners[index]
        is_prepared: bool | None = None if self._are_prepared else False
        while True:
            PROCESSORS.settle()
            try:
                accepted, peer = listener.accept()
            except BlockingIOError:  # the listener has the limits that are its connections'
                continue
            except OSError:
                if self._stopping or listener.fileno() < 0:
                    return
                # out of descriptors, or the client left the queue; a closed listener comes here
                # too, until the process is told to stop
                time.sleep(ACCEPT_PAUSE)
                continue
            self._leave_waiting(index)
            try:
                if is_prepared is None:
                    is_prepared = isinstance(listener, socket.socket) and are_inherited(
                        accepted, listener
                    )
                self._handle(Connection(accepted, peer, is_prepared=is_prepared))
            finally:
                accepted.close()
            if not self._return_to_waiting(index):
                return

    def _leave_waiting(self, index: int) -> None:
        with self._lock:
            self._idle[index] -= 1
            if self._idle[index]:
                return
            self._idle[index] = 1
        try:
            self._start_thread(index)
        except RuntimeError:  # no more threads: this one comes back to the socket when it is done
            with self._lock:
                self._idle[index] -= 1

    def _return_to_waiting(self, index: int) -> bool:
        with self._lock:
            if self._idle[index] >= IDLE_KEPT or self._stopping:
                return False
            self._idle[index] += 1
            return True

    def _handle(self, connection: Connection) -> None:
        if not self._count.enter():
            self._refuse(connection)
            return
        with self._lock:
            self._connections[id(connection)] = connection
        try:
            if not self._stopping:
                self._serve(connection)
        finally:
            with self._lock:
                del self._connections[id(connection)]
                if self._stopping:
                    self._changed.notify_all()
            self._count.leave()


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
