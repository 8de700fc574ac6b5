"""Orders of which nothing comes, or not all: the client gets the pack, or hears why not."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from gitserve.errors import (
    Busy,
    GitServeError,
    HangupError,
    InternalError,
    MissingObject,
    PeerError,
    PeerTimeout,
    RepositoryError,
)
from gitserve.repository.config import ConfigError
from gitserve.repository.locate import locate
from gitserve.service.orders import Order, Outcome, Trouble, carry_out
from gitserve.service.requests import ServiceOptions
from gitserve.service.streams import Begun, Conversation
from gitserve.session.effects import SendPack
from gitserve.transport import homes as module
from gitserve.transport.homes import NEIGHBOURS, THERE, Homes
from gitserve.wire.malformed import Malformed

from tests.support.orders import (
    BEGUN,
    LONG,
    SIZE,
    Ordered,
    alone,
    answering,
    at_home,
    elsewhere,
    spoil,
)


def test_nobody_is_there(path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that comes too late finds that the order was taken back."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    ordered = Ordered(path, elsewhere(homes, path))
    ordered.send()
    with at_home(homes, path):
        later = Ordered(path, elsewhere(homes, path))
        later.send()
    assert ordered.client.end() == later.client.end() == alone(path)


def test_a_full_mailbox(path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", LONG)
    other = elsewhere(homes, path)
    box = homes._boxes[homes.of(str(path))][1]
    with suppress(BlockingIOError):
        while True:
            box.send(THERE, socket.MSG_DONTWAIT)
    begun = time.monotonic()
    ordered = Ordered(path, other)
    ordered.send()
    assert time.monotonic() - begun < LONG
    assert ordered.client.end() == alone(path)


def test_an_order_without_descriptors_is_passed_over(path: Path, homes: Homes) -> None:
    homes._boxes[homes.of(str(path))][1].send(THERE)
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path))
        ordered.send()
        assert ordered.client.end() == alone(path)


def test_a_home_that_ends_before_it_has_the_order(path: Path, homes: Homes) -> None:
    mailbox = copy.copy(homes).move_in(homes.of(str(path)))

    thread = threading.Thread(target=lambda: mailbox.accept()[0].close())
    thread.start()
    ordered = Ordered(path, elsewhere(homes, path))
    ordered.send()
    thread.join()
    assert ordered.client.end() == alone(path)


def test_a_home_that_ends_with_the_pack_half_sent(path: Path, homes: Homes) -> None:
    mailbox = copy.copy(homes).move_in(homes.of(str(path)))
    ordered = Ordered(path, elsewhere(homes, path))

    def begin(client: socket.socket, _order: object) -> None:
        client.sendall(b"0fff\1PACK")

    thread = answering(mailbox, begin)
    with pytest.raises(InternalError, match="has ended"):
        ordered.send()
    thread.join()
    # nothing can be said within a packet
    with pytest.raises(HangupError):
        ordered.client.conversation.write(b"x" * SIZE)
    assert ordered.client.end() == b"0fff\1PACK"


def test_a_home_that_is_busy(path: Path, homes: Homes) -> None:
    mailbox = copy.copy(homes).move_in(homes.of(str(path)))
    ordered = Ordered(path, elsewhere(homes, path))
    refused = Outcome(trouble=Trouble.of(Busy("too many wait")))
    thread = answering(mailbox, lambda _client, _order: refused)
    ordered.send()
    thread.join()
    assert not ordered.tally.busy
    assert ordered.client.end() == alone(path)


def test_trouble_arrives_as_what_it_was(path: Path, homes: Homes) -> None:
    spoil(path)
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path))
        with pytest.raises(RepositoryError, match="wrong checksum"):
            ordered.send()
    # whatever was written is before what the client is told of it
    assert ordered.client.end().startswith(BEGUN)


def test_a_repository_that_has_gone(path: Path, homes: Homes) -> None:
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path))
        shutil.rmtree(path)
        with pytest.raises(GitServeError):
            ordered.send()
    assert ordered.client.end() == BEGUN


def test_a_client_that_goes(path: Path, homes: Homes) -> None:
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path))
        ordered.client.theirs.shutdown(socket.SHUT_RDWR)
        with pytest.raises(HangupError):
            ordered.send()
    ordered.client.end()


def test_a_client_that_takes_only_a_part(path: Path) -> None:
    """Nobody begins anew, nor says anything behind it."""

    class Stream:
        def read(self, _size: int, /) -> bytes:
            return b""

        def write(self, _data: object, /) -> None:
            raise PeerTimeout("it takes no more")

    location = locate(str(path))
    assert location is not None
    ordered = Ordered(path, None)
    ordered.client.end()
    order = Order(location, SendPack(ordered._wants, ofs_delta=True))
    conversation = Conversation(Stream(), Stream())
    outcome = carry_out(order, Begun(BEGUN), conversation, ServiceOptions())
    assert (outcome.sent, outcome.is_cut) == (0, True)
    assert outcome.trouble is not None
    assert outcome.trouble.type is PeerTimeout
    assert not outcome.may_be_tried_again
    with pytest.raises(HangupError):
        conversation.write(b"x" * SIZE)


@pytest.mark.parametrize(
    ("error", "kind", "wire"),
    [
        (PeerError("no", wire=b"never"), PeerError, b"never"),
        (Malformed("a bad line"), PeerError, b"a bad line"),
        (MissingObject("an object"), MissingObject, None),
        (ConfigError("a bad value"), RepositoryError, None),
        (OSError(5, "Input/output error"), InternalError, None),
    ],
)
def test_trouble(error: Exception, kind: type[GitServeError], wire: bytes | None) -> None:
    arrived = pickle.loads(pickle.dumps(Trouble.of(error))).error()
    assert (type(arrived), arrived.wire) == (kind, wire)
    assert str(error) in str(arrived)


def test_neighbours_share_homes() -> None:
    workers = 2 * NEIGHBOURS + 3
    homes = Homes(workers)
    found: dict[int, set[int]] = {}
    for number in range(workers):
        homes.move_in(number)
        at = [homes.of(f"/srv/{name}.git") for name in range(100)]
        found.setdefault(number // NEIGHBOURS, set()).update(at)
        homes.move_in(number // NEIGHBOURS * NEIGHBOURS)
        assert at == [homes.of(f"/srv/{name}.git") for name in range(100)]
    # all of them are some repository's, and nobody's beyond his own
    assert found == {
        0: set(range(NEIGHBOURS)),
        1: set(range(NEIGHBOURS, 2 * NEIGHBOURS)),
        2: set(range(2 * NEIGHBOURS, workers)),
    }
    homes.close()


def test_descriptors_are_not_left_open(path: Path, homes: Homes) -> None:
    other = elsewhere(homes, path)

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with at_home(homes, path):
        for _ in range(2):
            before = descriptors()
            for _ in range(5):
                ordered = Ordered(path, other)
                ordered.send()
                ordered.client.end()
            time.sleep(0.1)
        assert descriptors() <= before


def test_programs_do_not_get_what_came_in_a_mailbox(homes: Homes) -> None:
    mailbox = homes.move_in(0)
    with socket.socket() as one:
        module._put(homes._boxes[0][1], one.fileno())
    came, _ = mailbox.accept()
    with came:
        assert not came.get_inheritable()


def test_a_home_whose_line_is_long(
    path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else is to wait behind it, nor for an answer."""

    def carry_out(*_: object) -> Outcome:
        raise AssertionError("it is made where others wait")

    monkeypatch.setattr(module, "PATIENCE", LONG)
    monkeypatch.setattr(module, "is_full", lambda: True)
    monkeypatch.setattr(module, "carry_out", carry_out)
    begun = time.monotonic()
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path))
        ordered.send()
        assert time.monotonic() - begun < LONG
    assert ordered.client.end() == alone(path)


def test_a_worker_that_stops_orders_nothing(
    path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", LONG)
    other = elsewhere(homes, path)
    other.move_out()
    ordered = Ordered(path, other)
    begun = time.monotonic()
    ordered.send()
    assert time.monotonic() - begun < LONG
    assert ordered.client.end() == alone(path)


def test_no_descriptors_are_left(path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered = Ordered(path, elsewhere(homes, path))

    def none() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socketpair", none)
    ordered.send()
    monkeypatch.undo()
    assert ordered.client.end() == alone(path)


def test_a_home_without_descriptors(
    path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = module._taken

    def taken(box: socket.socket) -> socket.socket:
        came = take(box)
        if box.type == socket.SOCK_STREAM:
            came.close()
            raise OSError("nothing came with it")
        return came

    monkeypatch.setattr(module, "_taken", taken)
    ordered = Ordered(path, elsewhere(homes, path))
    with at_home(homes, path):
        ordered.send()
    assert ordered.client.end() == alone(path)


def test_an_order_that_is_given_up_holds_nothing_of_the_client(
    path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection ends when we close it, though a home may still have to look."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    ordered = Ordered(path, elsewhere(homes, path))
    ordered.send()
    want = alone(path)
    ordered.client.conversation.flush()
    ordered.client.theirs.close()
    ordered.client._reader.join(5)
    assert not ordered.client._reader.is_alive()
    assert ordered.client.said == want


def test_a_home_that_stops_ends_what_it_has_taken(
    path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the moment on when it has said that it is there."""
    taken, goes_on = threading.Event(), threading.Event()
    take = module._taken

    def slowly(box: socket.socket) -> socket.socket:
        if box.type == socket.SOCK_STREAM:
            taken.set()
            goes_on.wait(10)
        return take(box)

    monkeypatch.setattr(module, "_taken", slowly)
    ordered = Ordered(path, elsewhere(homes, path))
    sender = threading.Thread(target=ordered.send)
    with at_home(homes, path):
        sender.start()
        assert taken.wait(10)
        threading.Timer(0.2, goes_on.set).start()
    sender.join(20)
    assert ordered.client.end() == alone(path)


def test_a_first_byte_that_was_sent(path: Path, homes: Homes) -> None:
    """It was, to see whether the client is there; so the home does not send it again."""
    ordered = Ordered(path, elsewhere(homes, path))
    client = ordered.client
    with at_home(homes, path):
        client.theirs.sendall(BEGUN[:1])
        client.conversation.owes = True
        ordered.send()
        assert not client.conversation.owes
    assert client.end() == alone(path)


def test_a_first_byte_that_does_not_fit(path: Path, homes: Homes) -> None:
    """A client that has ended his side is sent a zero, which this answer does not begin with."""
    with at_home(homes, path):
        for way in (None, elsewhere(homes, path)):
            ordered = Ordered(path, way)
            ordered.client.conversation.owes = True
            effect = SendPack(ordered._wants, ofs_delta=True, progress=False)
            with pytest.raises(HangupError):
                for _ in ordered._service.send_pack(effect):
                    pass
            assert ordered.client.end() == b""


def test_what_is_owed_stays_so_when_nobody_is_there(path: Path, homes: Homes) -> None:
    mailbox = copy.copy(homes).move_in(homes.of(str(path)))
    refused = Outcome(trouble=Trouble.of(Busy("too many wait")))
    thread = answering(mailbox, lambda _client, _order: refused)
    ordered = Ordered(path, elsewhere(homes, path))
    ordered.client.theirs.sendall(BEGUN[:1])
    ordered.client.conversation.owes = True
    ordered.send()
    thread.join()
    assert ordered.client.end() == alone(path)


def test_what_is_gone_for_the_home_is_tried_here(path: Path, homes: Homes) -> None:
    """Who ordered may still have the packs open that somebody has removed since."""
    mailbox = copy.copy(homes).move_in(homes.of(str(path)))
    gone = Outcome(trouble=Trouble.of(MissingObject("an object")))
    thread = answering(mailbox, lambda _client, _order: gone)
    ordered = Ordered(path, elsewhere(homes, path))
    ordered.send()
    thread.join()
    assert ordered.client.end() == alone(path)


def test_too_many_descriptors_on_their_way(
    path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = module._put

    def putting(box: socket.socket, descriptor: int) -> None:
        if box.type == socket.SOCK_STREAM:
            raise OSError(109, "Too many references: cannot splice")
        put(box, descriptor)

    monkeypatch.setattr(module, "_put", putting)
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path))
        ordered.send()
        assert ordered.client.end() == alone(path)


def test_half_an_order(homes: Homes, path: Path) -> None:
    """Who orders is killed over it: that is no bug of the home's."""
    with at_home(homes, path):
        for part in (b"", b"\x80", pickle.dumps((1, 2))[:-3]):
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    module._put(homes._boxes[homes.of(str(path))][1], theirs.fileno())
                assert ours.recv(1) == THERE
                if part:
                    module._put(ours, ours.fileno())
                    ours.sendall(part)
                ours.shutdown(socket.SHUT_WR)
                assert ours.recv(1) == b""
