"""Sockets and pipes whose other end is slow, silent or gone."""

from __future__ import annotations

import os
import socket
import struct
import threading

import pytest
from gitserve.errors import HangupError, PeerTimeout
from gitserve.transport.counting import ConnectionCount, SharedCounts
from gitserve.transport.listen import CannotListen, listen, shown, shown_address
from gitserve.transport.pipes import PipeStream
from gitserve.transport.pool import Connection, Pool
from gitserve.transport.streams import SocketStream, are_inherited, prepare


def test_silence_times_out() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(PeerTimeout):
        SocketStream(ours, 0.02).read(10)


def test_a_client_that_takes_nothing_times_out() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(PeerTimeout):
        SocketStream(ours, 0.02).write(bytes(16 << 20))


def read_for_ever(stream: SocketStream) -> None:
    while True:
        stream.read(1)


def write_twice(stream: SocketStream) -> None:
    stream.write(b"x")
    stream.write(b"x")


def test_one_byte_at_a_time_is_bounded_by_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = SocketStream(ours, 60, 0.2)
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.01):
                theirs.send(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            with pytest.raises(PeerTimeout):
                read_for_ever(stream)
        finally:
            stop.set()
            dripping.join()
        theirs.send(b"y")
        stream.expect_within(0)
        assert stream.read(100)


def test_a_limit_longer_than_the_kernels_is_kept() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        prepare(ours, 0, 0.01)
        stream = SocketStream(ours, 0.1, 5.0, is_prepared=True)
        stream._wait = 0.01  # as it is; only so small is set anew when there is no deadline
        stream._deadline = None
        late = threading.Timer(0.04, theirs.send, (b"late",))
        late.start()
        assert stream.read(10) == b"late"
        late.join()
        with pytest.raises(PeerTimeout):
            stream.read(10)


@pytest.mark.parametrize(
    ("timeout", "init", "then"),
    [(600.0, 30.0, 30.0), (5.0, 30.0, 5.0), (9.0, 0.0, 9.0), (0.0, 0.0, 0.0)],
)
def test_connections_have_the_limits_of_their_listener(
    timeout: float, init: float, then: float
) -> None:
    (listener,) = listen(["127.0.0.1"], 0, reuse_address=False, backlog=1)
    with listener:
        prepare(listener, timeout, init)
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            assert are_inherited(server, listener)
            assert not are_inherited(client, listener) or not (timeout or init)
            stream = SocketStream(server, timeout, init, is_prepared=True)
            client.send(b"x")
            assert stream.read(9) == b"x"
            stream.expect_within(0)
            kept = server.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
            assert struct.unpack("@ll", kept) == (then, 0)


def test_a_listener_with_limits_goes_on() -> None:
    """Nobody comes in the time that a client has for its first packet: no reason to stop."""
    (listener,) = listen(["127.0.0.1"], 0, reuse_address=False, backlog=1)
    served = threading.Event()
    prepared: list[bool] = []

    def serve(connection: Connection) -> None:
        prepared.append(connection.is_prepared)
        served.set()

    with listener:
        prepare(listener, 60.0, 0.01)
        count = ConnectionCount(SharedCounts(1), 0, 0)
        pool = Pool([listener], serve, serve, count, are_prepared=True)
        pool.start()
        while True:
            try:
                listener.accept()
            except BlockingIOError:
                break
        socket.create_connection(listener.getsockname()).close()
        assert served.wait(20)
        listener.shutdown(socket.SHUT_RDWR)
        pool.stop(1.0)
    assert prepared == [True]


def test_large_writes_arrive_whole() -> None:
    ours, theirs = socket.socketpair()
    data = os.urandom(3 << 20)
    got: list[bytes] = []

    def take() -> None:
        while piece := theirs.recv(1 << 16):
            got.append(piece)

    taking = threading.Thread(target=take)
    taking.start()
    with ours:
        SocketStream(ours, 10).write(data)
    taking.join()
    theirs.close()
    assert b"".join(got) == data


def test_the_other_end_is_gone() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    stream = SocketStream(ours, 10)
    assert stream.read(10) == b""
    with ours, pytest.raises(HangupError):
        write_twice(stream)


def test_refused_clients_can_read_why() -> None:
    """Unread input would make the kernel reset the connection and throw the answer away."""
    (listener,) = listen(["127.0.0.1"], 0, reuse_address=False, backlog=1)
    with listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        client.sendall(bytes(100_000))
        with server:
            stream = SocketStream(server, 10)
            stream.write(b"why")
            closing = threading.Thread(target=stream.drain)
            closing.start()
            assert client.recv(10) == b"why"
            assert client.recv(10) == b""
            client.close()
            closing.join()


def test_pipes() -> None:
    theirs_out, ours_in = os.pipe()
    stream = PipeStream(theirs_out, ours_in, 0.02)
    stream.write(b"abc")
    assert stream.read(2) == b"ab"
    assert stream.read(9) == b"c"
    with pytest.raises(PeerTimeout):
        stream.read(1)
    with pytest.raises(PeerTimeout):
        stream.write(bytes(1 << 20))
    os.close(theirs_out)
    with pytest.raises(HangupError):
        stream.write(b"x")
    os.close(ours_in)


def test_pipes_that_do_not_wait() -> None:
    theirs_out, ours_in = os.pipe()
    os.set_blocking(theirs_out, False)
    stream = PipeStream(theirs_out, ours_in)
    waiting = threading.Timer(0.05, os.write, (ours_in, b"late"))
    waiting.start()
    assert stream.read(10) == b"late"
    waiting.join()
    os.close(theirs_out)
    os.close(ours_in)


def test_listening() -> None:
    listeners = listen(["127.0.0.1", "localhost"], 0, reuse_address=True, backlog=5)
    try:
        ports = {listener.getsockname()[1] for listener in listeners}
        assert len(ports) == 1
        with pytest.raises(CannotListen, match="in use"):
            listen(["127.0.0.1"], ports.pop(), reuse_address=False, backlog=5)
    finally:
        for listener in listeners:
            listener.close()
    with pytest.raises(CannotListen):
        listen(["no.such.host.invalid"], 0, reuse_address=False, backlog=5)


def test_addresses_as_people_read_them() -> None:
    assert shown_address(("1.2.3.4", 5)) == "1.2.3.4:5"
    assert shown_address(("::1", 5, 0, 0)) == "[::1]:5"
    assert shown_address("") == "local"
    (listener,) = listen(["127.0.0.1"], 0, reuse_address=False, backlog=1)
    with listener:
        assert shown(listener) == f"127.0.0.1:{listener.getsockname()[1]}"
