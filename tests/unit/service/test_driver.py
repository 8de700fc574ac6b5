"""One driver over any source and sink, and errors that reach both the client and the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from gitserve.errors import GitServeError, HangupError, InternalError, RepositoryError
from gitserve.service.driver import drive
from gitserve.service.streams import JOIN_BELOW, Conversation
from gitserve.session.effects import AdvertiseRefs, Dialogue, Effect, Flush, Read, Send
from gitserve.wire.pktline import Marker, Run


class Pieces:
    """A client that sends these pieces, and a sink that keeps what is written."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.written: list[bytes] = []
        self.written_before_read: list[int] = []

    def read(self, size: int, /) -> bytes:
        self.written_before_read.append(len(self.written))
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        assert len(piece) <= size
        return piece

    def write(self, data: bytes, /) -> None:
        self.written.append(data)


class Performer:
    """Answers one kind of effect with what a test says."""

    def __init__(self, perform: Callable[[Any], object]) -> None:
        self.performs: Mapping[type[Effect], str] = {AdvertiseRefs: "perform"}
        self.perform = perform


def never(_effect: object) -> None:
    raise AssertionError


def test_packets_cut_anywhere_and_writes_joined() -> None:
    client = Pieces(b"00", b"06a", b"b0006cd0000" + b"000", b"8last")
    seen: list[Run | None] = []

    def dialogue() -> Dialogue:
        yield Send(b"hello ")
        yield Send(b"there")
        run: Run | None = yield Read()
        seen.append(run)
        while run is not None:
            run = yield Read()
            seen.append(run)
        yield Send(b"bye")

    conversation = Conversation(client, client)
    drive(dialogue(), conversation, Performer(never))
    assert [line for run in seen if run for line in run.lines] == [b"ab", b"cd", b"last"]
    assert [run.end for run in seen if run][-2:] == [Marker.FLUSH, None]
    assert seen[-1] is None
    assert client.written == [b"hello there", b"bye"]
    assert client.written_before_read[0] == 1, "what the client waits for leaves before we wait"
    assert (conversation.received, conversation.sent) == (24, 14)


def test_large_buffers_are_passed_on_as_they_are() -> None:
    client = Pieces()
    large = bytes(JOIN_BELOW)

    def dialogue() -> Dialogue:
        yield Send(b"small")
        yield Send(large)
        yield Send(b"after")
        yield Flush()

    drive(dialogue(), Conversation(client, client), Performer(never))
    assert client.written == [b"small", large, b"after"]
    assert client.written[1] is large


def test_raw_bytes_begin_where_packets_end() -> None:
    client = Pieces(b"0006ab0000PACK", b"more")
    conversation = Conversation(client, client)
    conversation.read_run()
    assert [conversation.read_raw() for _ in range(3)] == [b"PACK", b"more", b""]


def test_one_packet_and_no_more() -> None:
    client = Pieces(b"0006ab0006", b"cd")
    conversation = Conversation(client, client)
    assert conversation.read_packet() == b"ab"
    run = conversation.read_run()
    assert run is not None
    assert run.lines == [b"cd"]


def test_input_that_ends_inside_a_packet() -> None:
    client = Pieces(b"0010abc")
    with pytest.raises(HangupError):
        Conversation(client, client).read_run()


@pytest.mark.parametrize(
    ("raised", "seen"), [(RepositoryError("x"), RepositoryError), (ValueError("y"), InternalError)]
)
def test_errors_reach_the_dialogue_then_the_caller(
    raised: Exception, seen: type[GitServeError]
) -> None:
    client = Pieces()

    def fail(_effect: object) -> None:
        raise raised

    def dialogue() -> Dialogue:
        try:
            yield AdvertiseRefs(b"")
        except GitServeError as error:
            yield Send(type(error).__name__.encode())
            raise

    with pytest.raises(seen):
        drive(dialogue(), Conversation(client, client), Performer(fail))
    assert client.written == [seen.__name__.encode()]


def test_a_client_that_is_gone_is_told_nothing() -> None:
    class Gone(Pieces):
        def write(self, data: bytes, /) -> None:
            raise HangupError(f"gone before {data!r}")

    client = Gone()

    def dialogue() -> Dialogue:
        try:
            yield Send(b"x")
            yield Flush()
        except GitServeError:
            yield Send(b"sorry")
            raise

    with pytest.raises(HangupError):
        drive(dialogue(), Conversation(client, client), Performer(never))
