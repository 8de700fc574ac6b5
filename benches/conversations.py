"""What clients say: recorded from real git through a proxy, or put together where all must differ.

In: a daemon's address and a git command to run against it. Out: conversations, as the load
generator reads them (``benches/loadgen/src/conversation.rs``). Only such as are answered with a
flush packet in the end: all of protocol v2, pushes, and of version 0 what asks for side bands and
needs no more than one round of negotiation.
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
    cut: bool = False
    """Hang up as soon as the server answers ``done``: the pack is not wanted, only the question."""

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
                        continue
                    self.said.append(piece if source is client else b"")
                    if self.cut and source is server and self.done_said():
                        return
                    to.sendall(piece)

    def done_said(self) -> bool:
        """What the client said last ends its negotiation."""
        spoken = [piece for piece in self.said if piece]
        return bool(spoken) and (b"0009done\n" in spoken[-1] or b"0008done" in spoken[-1])


@contextmanager
def recorder(upstream: tuple[str, int], *, cut: bool = False) -> Iterator[Recorder]:
    """A proxy for one connection to ``upstream``; ask for the conversation when it is over."""
    with socket.create_server((HOST, 0)) as listener:
        recording = Recorder(listener.getsockname()[1], cut=cut)
        recording.thread = threading.Thread(target=recording.relay, args=(listener, upstream))
        recording.thread.start()
        yield recording
        recording.thread.join()


def record(
    upstream: tuple[str, int], path: str, run: Callable[[str], object], *, cut: bool = False
) -> Conversation:
    """Runs a git command on the URL that leads through the proxy."""
    with recorder(upstream, cut=cut) as recording:
        run(f"git://{HOST}:{recording.port}{path}")
    return recording.conversation()


def greeting(service: bytes, path: str, extra: bytes = b"") -> bytes:
    """The first packet of git://."""
    return pkt(service + b" " + path.encode() + b"\0host=127.0.0.1\0" + extra)


ASKED = b"multi_ack_detailed side-band-64k thin-pack no-progress include-tag ofs-delta agent=bench"
"""In version 0: what git asks for, as far as every server here knows it."""


def fetch(
    path: str, wants: Sequence[str], haves: Sequence[str], more: Sequence[bytes] = ()
) -> Conversation:
    """A fetch as git 2.4x words it, without the ls-refs before it."""
    arguments = [b"thin-pack", b"no-progress", b"include-tag", b"ofs-delta", *more]
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


def fetch_v0(path: str, wants: Sequence[str], haves: Sequence[str]) -> Conversation:
    """The same in version 0, with everything said at once."""
    lines = [pkt(b"want " + want.encode() + b"\n") for want in wants[1:]]
    lines.insert(0, pkt(b"want " + wants[0].encode() + b" " + ASKED + b"\n"))
    lines.append(FLUSH)
    lines += [pkt(b"have " + have.encode() + b"\n") for have in haves]
    return Conversation((greeting(b"git-upload-pack", path), b"".join(lines) + pkt(b"done\n")), b"")


def packets(said: bytes) -> list[bytes]:
    """A turn, cut into pkt-lines, each with its length."""
    found, at = [], 0
    while at < len(said):
        length = max(4, int(said[at : at + 4], 16))
        found.append(said[at : at + length])
        at += length
    return found


def common_words(said: Conversation) -> Conversation:
    """Version 0 as every server understands it: asks only for :data:`ASKED`."""
    turns = [said.turns[0]]
    for turn in said.turns[1:]:
        lines = packets(turn)
        for number, line in enumerate(lines):
            if line[4:9] == b"want " and line[49:50] == b" ":
                lines[number] = pkt(line[4:49] + b" " + ASKED + b"\n")
        turns.append(b"".join(lines))
    return Conversation(tuple(turns), said.farewell)


def wants(said: Conversation) -> list[str]:
    """What a request in version 2 asks for, in its order."""
    return [line[9:].decode().strip() for line in packets(said.turns[-1]) if is_want(line)]


def is_want(line: bytes) -> bool:
    """Does a packet ask for an object?"""
    return line[4:9] == b"want "


def with_want(said: Conversation, want: str) -> Conversation:
    """The same request in version 2 with one more want."""
    lines = packets(said.turns[-1])
    first = next(at for at, line in enumerate(lines) if is_want(line))
    lines.insert(first, pkt(b"want " + want.encode() + b"\n"))
    return Conversation((said.turns[0], b"".join(lines)), said.farewell)


def without_want(said: Conversation, number: int) -> Conversation:
    """The same request in version 2 without one of its wants: nobody has asked this before."""
    lines = packets(said.turns[-1])
    places = [at for at, line in enumerate(lines) if is_want(line)]
    if len(places) < 2:
        raise ValueError("only one want")
    del lines[places[number % len(places)]]
    # Whoever has answered ls-refs once does so from memory; what is measured is the pack.
    return Conversation((said.turns[0], b"".join(lines)), said.farewell)


def last_request(said: Conversation) -> Conversation:
    """Without the ls-refs between the greeting and the fetch."""
    return Conversation((said.turns[0], said.turns[-1]), said.farewell)


def push(
    path: str, ref: str, new: str, pack: bytes, old: str = "0" * 40, more: bytes = b""
) -> Conversation:
    """A push that creates or moves one ref; ``more``: further commands, as packets."""
    capabilities = b"\0 report-status side-band-64k quiet agent=bench"
    command = old.encode() + b" " + new.encode() + b" " + ref.encode() + capabilities
    hello = greeting(b"git-receive-pack", path)
    return Conversation((hello, pkt(command) + more + FLUSH + pack))
