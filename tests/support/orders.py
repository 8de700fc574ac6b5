"""A clone of which another worker is to make the pack, and that worker."""

from __future__ import annotations

import copy
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitserve.errors import (
    HangupError,
)
from gitserve.repository.native import NativeRepository
from gitserve.service.orders import Order, Outcome
from gitserve.service.requests import ServiceOptions
from gitserve.service.streams import Begun, Conversation
from gitserve.service.tally import Tally
from gitserve.service.upload import UploadService
from gitserve.session.effects import BeginNegotiation, SendPack
from gitserve.transport import homes as module
from gitserve.transport.counting import ConnectionCount, SharedCounts
from gitserve.transport.homes import THERE, Homes, Mailbox, serve_order
from gitserve.transport.pool import Connection, Pool
from gitserve.transport.streams import SocketStream

BEGUN = b"000dpackfile\n"
LONG = 60.0
"""Seconds of patience that nobody is to need, however busy the machine is."""
SIZE = 2 << 20
"""Bytes of the file: more than a socket takes unread."""


class Client:
    """Reads what it is sent."""

    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.said = b""
        self._reader = threading.Thread(target=self._read, args=(ours,))
        self._reader.start()
        stream = SocketStream(self.theirs, 0)
        self.conversation = Conversation(stream, stream, stream.fileno())

    def _read(self, ours: socket.socket) -> None:
        with ours:
            while piece := ours.recv(1 << 16):
                self.said += piece

    def end(self) -> bytes:
        """All that it was sent."""
        with suppress(HangupError):
            self.conversation.flush()
        self.theirs.close()
        self._reader.join(20)
        return self.said


class Ordered:
    """A clone that is begun by a worker where the repository is not at home."""

    def __init__(self, path: Path, homes: Homes | None, hidden: tuple[bytes, ...] = ()) -> None:
        repository = NativeRepository.open(str(path))
        self.client = Client()
        self.tally = Tally()
        self._service = UploadService(
            repository, self.client.conversation, tally=self.tally, homes=homes, hidden=hidden
        )
        tip = repository.refs.snapshot().get(b"refs/heads/main")
        assert tip is not None
        self._wants = (tip,)
        self._service.begin_negotiation(BeginNegotiation(self._wants))

    def send(self) -> None:
        """To the end of the pack. Raises what went wrong."""
        self.client.conversation.write(BEGUN)
        effect = SendPack(self._wants, ofs_delta=True, progress=False, include_tag=True)
        for _ in self._service.send_pack(effect):
            pass


def alone(path: Path, hidden: tuple[bytes, ...] = ()) -> bytes:
    """What a server of one process sends."""
    ordered = Ordered(path, None, hidden)
    ordered.send()
    return ordered.client.end()


def spoil(path: Path) -> None:
    """Changes a bit of the large file in the pack."""
    (pack,) = (path / "objects" / "pack").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[SIZE // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)


def elsewhere(homes: Homes, path: Path) -> Homes:
    """As a worker sees them where the repository is not at home."""
    other = copy.copy(homes)
    other.move_in(1 - homes.of(str(path)))
    return other


@contextmanager
def at_home(homes: Homes, path: Path, options: ServiceOptions | None = None) -> Iterator[None]:
    """A worker where it is waits for orders."""

    def serve(connection: Connection) -> None:
        serve_order(connection, options or ServiceOptions(), 0)

    mailbox = copy.copy(homes).move_in(homes.of(str(path)))
    pool = Pool([mailbox], serve, serve, ConnectionCount(SharedCounts(1), 0, 0))
    pool.start()
    try:
        yield
    finally:
        pool.stop(5.0)


def answering(
    mailbox: Mailbox, act: Callable[[socket.socket, tuple[Order, Begun]], Outcome | None]
) -> threading.Thread:
    """A home that takes one order and does what the test says."""

    def run() -> None:
        back, _ = mailbox.accept()
        back.sendall(THERE)
        with module._taken(back) as client, back, back.makefile("rwb") as file:
            outcome = act(client, pickle.load(file))
            if outcome is not None:
                pickle.dump(outcome, file)

    thread = threading.Thread(target=run)
    thread.start()
    return thread
