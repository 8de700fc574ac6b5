"""Answers that the core lends: the same bytes, on every road, for as long as somebody has them."""

from __future__ import annotations

import gc
import io
import os
import socket
import threading

import pytest
from gitserve._core import Chunk, RefSnapshot, Snapshot
from gitserve.service.streams import Conversation
from gitserve.transport.outbox import Outbox
from gitserve.transport.pipes import PipeStream
from gitserve.transport.streams import SocketStream
from gitserve.wire.pktline import encode

MANY = 3000
ID = b"1" * 40


def objects() -> Snapshot:
    return Snapshot.foreign(lambda _: True, lambda _: (3, b"a blob"))


def refs(count: int) -> RefSnapshot:
    return RefSnapshot.given([(b"refs/heads/%05d" % number, ID) for number in range(count)])


def lines(count: int) -> bytes:
    return b"".join(encode(ID + b" refs/heads/%05d\n" % number) for number in range(count))


def lent() -> Chunk:
    answer = refs(MANY).ls_refs(objects())
    assert isinstance(answer, Chunk)
    return answer


@pytest.mark.parametrize("count", [0, 3, MANY])
def test_listings_are_the_same_lent_or_copied(count: int) -> None:
    answer = refs(count).ls_refs(objects())
    assert isinstance(answer, Chunk) is (count == MANY)
    assert bytes(answer) == lines(count) + b"0000"
    assert len(answer) == len(lines(count)) + 4


@pytest.mark.parametrize("count", [0, 3, MANY])
def test_advertisements_are_the_same_lent_or_copied(count: int) -> None:
    pieces = refs(count).advertisement(objects(), b"thin-pack", receive=True)
    first = ID + b" refs/heads/00000" if count else b"0" * 40 + b" capabilities^{}"
    rest = lines(count)[len(encode(ID + b" refs/heads/00000\n")) :]
    assert b"".join(pieces) == encode(first + b"\0thin-pack\n") + rest + b"0000"


def test_nobody_writes_to_what_is_shared() -> None:
    view = memoryview(lent())
    assert view.readonly
    assert (view.format, view.itemsize, view.ndim) == ("B", 1, 1)
    with pytest.raises(TypeError):
        view[0] = 0
    with pytest.raises((TypeError, BufferError)):
        io.BytesIO(b"other").readinto(lent())  # type: ignore[arg-type]


def test_a_view_outlives_what_it_is_of() -> None:
    shown = refs(MANY)
    view = memoryview(shown.ls_refs(objects()))
    del shown
    gc.collect()
    assert view == lines(MANY) + b"0000"


def test_it_goes_over_sockets_pipes_and_http() -> None:
    expected = b"first" + lines(MANY) + b"0000last"
    ours, theirs = socket.socketpair()
    source, sink = os.pipe()
    received: dict[str, bytes] = {}

    def read_socket() -> None:
        with theirs, theirs.makefile("rb") as file:
            received["socket"] = file.read()

    def read_pipe() -> None:
        with open(source, "rb") as file:
            received["pipe"] = file.read()

    readers = [threading.Thread(target=read) for read in (read_socket, read_pipe)]
    for reader in readers:
        reader.start()
    outbox = Outbox()
    with ours, open(sink, "wb"):
        for stream in (SocketStream(ours, 0.0), PipeStream(0, sink), PipeStream(0, sink, 5.0)):
            conversation = Conversation(stream, stream)
            for piece in (b"first", lent(), b"last"):
                conversation.write(piece)
            conversation.flush()
            assert conversation.sent == len(expected)
        outbox.write(lent())
    for reader in readers:
        reader.join()
    assert received == {"socket": expected, "pipe": expected * 2}
    assert outbox.take() == [lines(MANY) + b"0000"]
