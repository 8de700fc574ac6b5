"""What clients say: recorded from real git through a proxy, or put together where all must differ.

In: a daemon's address and a git command to run against it. Out: conversations, as the load
generator reads them (``benches/loadgen/src/conversation.rs``). Everything is protocol v2 or a push,
where every answer ends with a flush packet.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
FLUSH = b"0000"


@dataclass(frozen=True, slots=True)
class Conversation:
    """One client's side."""

    turns: tuple[bytes, ...]
    farewell: bytes = b""


def pkt(line: bytes) -> bytes:
    """One pkt-line."""
    return b"%04x" % (len(line) + 4) + line


def write(path: Path, conversations: Sequence[Conversation]) -> None:
    """The file that the load generator replays."""

    def block(content: bytes) -> bytes:
        return struct.pack("<I", len(content)) + content

    out = [struct.pack("<I", len(conversations))]
    for conversation in conversations:
        out.append(struct.pack("<I", len(conversation.turns)))
        out += [block(turn) for turn in conversation.turns]
        out.append(block(conversation.farewell))
    path.write_bytes(b"".join(out))


@dataclass(slots=True)
class Recorder:
    """A proxy that notes what passes from client to server, in turns."""

    port: int
    said: list[bytes] = field(default_factory=list)
    """The client's turns, and ``b""`` wherever the server spoke."""
    thread: threading.Thread | None = None

    def conversation(self) -> Conversation:
        """What was recorded; what nobody answered any more is the farewell."""
        if self.thread is not None:
            self.thread.join()
        turns: list[bytes] = []
        answered = True
        for piece in self.said:
            if not piece:
                answered = True
            elif answered:
                turns.append(piece)
                answered = False
            else:
                turns[-1] += piece
        farewell = turns.pop() if turns and not answered else b""
        return Conversation(tuple(turns), farewell)

    def relay(self, listener: socket.socket, upstream: tuple[str, int]) -> None:
        """One connection, to its end."""
        client, _ = listener.accept()
        with (
            client,
            socket.create_connection(upstream) as server,
            selectors.DefaultSelector() as ready,
        ):
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while ready.get_map():
                for key, _ in ready.select():
                    source, to = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    piece = source.recv(1 << 18)
                    if not piece:
                        ready.unregister(source)
                        to.shutdown(socket.SHUT_WR)
                    else:
                        to.sendall(piece)
                        self.said.append(piece if source is client else b"")


@contextmanager
def recorder(upstream: tuple[str, int]) -> Iterator[Recorder]:
    """A proxy for one connection to ``upstream``; ask for the conversation when it is over."""
    with socket.create_server((HOST, 0)) as listener:
        recording = Recorder(listener.getsockname()[1])
        recording.thread = threading.Thread(target=recording.relay, args=(listener, upstream))
        recording.thread.start()
        yield recording
        recording.thread.join()


def record(upstream: tuple[str, int], path: str, run: Callable[[str], object]) -> Conversation:
    """Runs a git command on the URL that leads through the proxy."""
    with recorder(upstream) as recording:
        run(f"git://{HOST}:{recording.port}{path}")
    return recording.conversation()


def greeting(service: bytes, path: str, extra: bytes = b"") -> bytes:
    """The first packet of git://."""
    return pkt(service + b" " + path.encode() + b"\0host=127.0.0.1\0" + extra)


def fetch(path: str, wants: Sequence[str], haves: Sequence[str]) -> Conversation:
    """A fetch as git 2.4x words it, without the ls-refs before it."""
    arguments = [b"thin-pack", b"no-progress", b"include-tag", b"ofs-delta"]
    arguments += [b"want " + want.encode() for want in wants]
    arguments += [b"have " + have.encode() for have in haves]
    if not haves:
        arguments.append(b"done")
    request = [
        pkt(b"command=fetch"),
        pkt(b"agent=git/2.47.3"),
        pkt(b"object-format=sha1"),
        b"0001",
        *(pkt(argument + b"\n") for argument in arguments),
        FLUSH,
    ]
    hello = greeting(b"git-upload-pack", path, b"\0version=2\0")
    return Conversation((hello, b"".join(request)), FLUSH)


def push(path: str, ref: str, new: str, pack: bytes) -> Conversation:
    """A push that creates one ref."""
    capabilities = b"\0 report-status-v2 side-band-64k object-format=sha1 agent=git/2.47.3"
    command = b"0" * 40 + b" " + new.encode() + b" " + ref.encode() + capabilities
    hello = greeting(b"git-receive-pack", path)
    return Conversation((hello, pkt(command) + FLUSH + pack))
