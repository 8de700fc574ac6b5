"""Packs that the kernel sends from their files: the same bytes on every road, and honest ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from gitserve._core import Chunk, PackCache, PackStream
from gitserve.errors import HangupError, PeerTimeout, RepositoryError
from gitserve.options import DaemonOptions
from gitserve.repository.native import NativeRepository
from gitserve.service.streams import JOIN_BELOW, Conversation
from gitserve.transport.exports import Exports
from gitserve.transport.httpanswer import NoBody
from gitserve.transport.httpserver import made_http
from gitserve.transport.log import Log
from gitserve.transport.outbox import Outbox
from gitserve.transport.pipes import PipeStream
from gitserve.transport.pool import Connection
from gitserve.transport.streams import SocketStream

from tests.support.gits import Git
from tests.support.raw import pkt
from tests.support.repositories import large_blob

SIZE = (3 << 20) + (40 << 10)
"""Bytes of the blob: more than a socket or a pipe takes unread, and several chunks. The last one is
small."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    path = tmp_path_factory.mktemp("lent") / "packed.git"
    large_blob(newest_git, path, SIZE)
    newest_git.run("repack", "-adq", cwd=path)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "packed.git"))


def pack_of(path: Path) -> Path:
    (pack,) = (path / "objects" / "pack").glob("*.pack")
    return pack


def clone(path: Path, band_limit: int = 65520, cache: PackCache | None = None) -> PackStream:
    repository = NativeRepository.open(str(path))
    tip = repository.refs.snapshot().get(b"refs/heads/main")
    assert tip is not None
    objects = repository.objects.snapshot()
    return PackStream(objects, [tip], band_limit=band_limit, cache=cache, ofs_delta=True)


def unframed(sent: bytes) -> bytes:
    """What travels on the band of the pack."""
    pieces, at = [], 0
    while at < len(sent):
        end = at + int(sent[at : at + 4], 16)
        assert sent[at + 4 : at + 5] == b"\1"
        pieces.append(sent[at + 5 : end])
        at = end
    return b"".join(pieces)


def received(write: Callable[[SocketStream], None], timeout: float = 0.0) -> bytes:
    """What a client reads of what is written."""
    ours, theirs = socket.socketpair()
    got: list[bytes] = []

    def read() -> None:
        with theirs, theirs.makefile("rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with ours:
            write(SocketStream(ours, timeout))
    finally:
        reader.join()
    return got[0]


def send(stream: PackStream) -> Callable[[SocketStream], None]:
    def write(client: SocketStream) -> None:
        conversation = Conversation(client, client)
        for chunk in stream:
            conversation.write(chunk)
        conversation.flush()

    return write


def test_a_stored_pack_arrives_as_it_is(path: Path) -> None:
    pack = pack_of(path).read_bytes()
    assert received(send(clone(path, 0))) == pack
    assert unframed(received(send(clone(path)), 5.0)) == pack
    assert b"".join(bytes(chunk) for chunk in clone(path, 0)) == pack


def test_what_is_sent_is_what_a_buffer_has(path: Path) -> None:
    for limit in (0, 1000, 65520):
        for chunk in clone(path, limit):
            assert isinstance(chunk, Chunk)
            sent = received(lambda client, chunk=chunk: client.write(chunk))  # type: ignore[misc]
            assert len(chunk) == len(sent)
            assert sent == bytes(chunk) == memoryview(chunk)


def test_pipes_and_http_servers_get_the_same(path: Path) -> None:
    expected = b"".join(bytes(chunk) for chunk in clone(path))
    source, sink = os.pipe()
    outbox = Outbox()
    got: list[bytes] = []

    def read() -> None:
        with open(source, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read)
    reader.start()
    with open(sink, "wb"):
        pipe = PipeStream(0, sink)
        for chunk in clone(path):
            pipe.write(chunk)
            outbox.write(chunk)
    reader.join()
    assert got == [expected]
    taken = outbox.take()
    assert all(type(piece) is bytes for piece in taken)
    assert b"".join(taken) == expected
    own = Outbox(takes_chunks=True)
    own.write(chunk)
    assert own.take() == [chunk]


class Wrapped(socket.socket):
    """Whose descriptor is not what a client reads, as that of ``ssl``."""

    def sendall(self, data: object, flags: int = 0) -> None:
        turned = bytes(byte ^ 0xFF for byte in bytes(data))  # type: ignore[call-overload]
        super().sendall(turned, flags)


def test_a_wrapped_socket_is_written_to_by_its_own_method(path: Path) -> None:
    plain, theirs = socket.socketpair()
    chunk = list(clone(path))[-1]
    with Wrapped(fileno=plain.detach()) as ours, theirs:
        SocketStream(ours, 5.0).write(chunk)
        got = theirs.recv(len(chunk), socket.MSG_WAITALL)
    assert bytes(byte ^ 0xFF for byte in got) == bytes(chunk)


def test_a_pack_that_shrinks_is_the_repositorys_fault(path: Path) -> None:
    pack = pack_of(path)
    chunks = list(clone(path))
    os.truncate(pack, 1 << 19)
    whole = 0

    def write(client: SocketStream) -> None:
        nonlocal whole
        for chunk in chunks:
            client.write(chunk)
            whole += len(chunk)

    with pytest.raises(RepositoryError, match=f"{pack.name}: the file shrank while it was sent"):
        received(write)
    assert whole < SIZE
    with pytest.raises(RepositoryError, match="the file shrank while it was sent"):
        bytes(chunks[-1])
    # also where it waits for other small pieces, which are sent all the same
    outbox = Outbox()
    conversation = Conversation(NoBody(), outbox)
    conversation.write(b"small")
    assert len(chunks[-1]) < JOIN_BELOW
    with pytest.raises(RepositoryError, match="the file shrank while it was sent"):
        conversation.write(chunks[-1])
    conversation.write(b"told")
    conversation.flush()
    assert outbox.take() == [b"smalltold"]


def test_what_is_said_of_it_is_behind_whole_packets(path: Path) -> None:
    pack = pack_of(path)
    chunks = list(clone(path))
    expected = pack.read_bytes()
    os.truncate(pack, 1 << 19)

    def write(client: SocketStream) -> None:
        with pytest.raises(RepositoryError):
            deque(map(client.write, chunks), 0)
        client.write(b"0009\3oh\n!")

    sent = received(write)
    assert sent.endswith(b"0009\3oh\n!")
    got = unframed(sent[:-9])
    assert got[: 1 << 19] == expected[: 1 << 19]
    assert not any(got[1 << 19 :])


def truncated_over_http(path: Path) -> tuple[bytes, str]:
    """What a client reads whose pack shrinks under way, and the log."""
    pack = pack_of(path)
    tip = NativeRepository.open(str(path)).refs.snapshot().get(b"refs/heads/main")
    assert tip is not None
    said = [b"command=fetch\n", b"object-format=sha1", b"want %b\n" % tip, b"done\n"]
    body = pkt(said[0]) + pkt(said[1]) + b"0001" + pkt(said[2]) + pkt(said[3]) + b"0000"
    head = (
        "POST /packed.git/git-upload-pack HTTP/1.1\r\nHost: a\r\nGit-Protocol: version=2\r\n"
        f"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: {len(body)}\r\n"
    )
    told = path.parent / "log"
    exports = Exports(base_path=str(path.parent), export_all=True)
    log = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    server = made_http(DaemonOptions(), exports, None, None, Log(log))

    def serve(ours: socket.socket) -> None:
        with ours:
            server.serve(Connection(ours, ("127.0.0.1", 1)))

    def ask(client: Callable[[socket.socket], bytes]) -> bytes:
        ours, theirs = socket.socketpair()
        # little is under way, so that the file shrinks before it has been sent
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        with theirs:
            theirs.sendall(head.encode() + b"\r\n" + body)
            serving = threading.Thread(target=serve, args=(ours,))
            serving.start()
            got = client(theirs)
            serving.join()
            return got

    def shrink_at_first(client: socket.socket) -> bytes:
        begun = client.recv(1 << 10)
        os.truncate(pack, 1 << 19)
        return begun + read_all(client)

    for _ in range(2):  # what was sent once is checked, and not read for the next
        assert ask(read_all).endswith(b"0000")
    got = ask(shrink_at_first)
    os.close(log)
    return got, told.read_text()


def read_all(client: socket.socket) -> bytes:
    with client.makefile("rb") as file:
        return file.read()


def test_over_http_it_is_told_and_logged_as_such(path: Path) -> None:
    got, log = truncated_over_http(path)
    assert b"\3the repository is damaged" in got[-200:]
    assert str(path).encode() not in got
    (line,) = (line for line in log.splitlines() if "failed" in line)
    assert f"{pack_of(path).name}: the file shrank while it was sent" in line
    assert "client failed" not in line


def test_a_pack_that_is_gone_is_sent_all_the_same(path: Path) -> None:
    expected = pack_of(path).read_bytes()
    repository = NativeRepository.open(str(path))
    objects = repository.objects.snapshot()
    tip = repository.refs.snapshot().get(b"refs/heads/main")
    assert tip is not None
    stream = PackStream(objects, [tip], band_limit=0)
    first = next(stream)
    shutil.rmtree(path)
    assert received(lambda client: client.write(first)) + b"".join(stream) == expected
    # not even its name is there
    assert b"".join(PackStream(objects, [tip], band_limit=0)) == expected


def test_a_pack_in_whose_place_another_is_is_not_taken_for_it(path: Path) -> None:
    pack = pack_of(path)
    expected = pack.read_bytes()
    repository = NativeRepository.open(str(path))
    objects = repository.objects.snapshot()
    tip = repository.refs.snapshot().get(b"refs/heads/main")
    assert tip is not None
    other = path / "other"
    other.write_bytes(bytes(len(expected)))
    other.rename(pack)
    assert b"".join(PackStream(objects, [tip], band_limit=0)) == expected


def test_sockets_that_python_waits_for_are_written_to_by_python(path: Path) -> None:
    chunks = list(clone(path))
    expected = b"".join(chunks)

    def before(ours: socket.socket) -> SocketStream:
        ours.settimeout(5.0)  # as accepted ones are with socket.setdefaulttimeout
        return SocketStream(ours, 0.0, is_prepared=True)

    def behind(ours: socket.socket) -> SocketStream:
        stream = SocketStream(ours, 0.0)
        ours.settimeout(5.0)
        return stream

    for made in (before, behind):
        ours, theirs = socket.socketpair()
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(read_all(theirs)))  # noqa: B023
        with ours, theirs:
            stream = made(ours)
            reader.start()
            for chunk in chunks:
                stream.write(chunk)
            ours.shutdown(socket.SHUT_WR)
            reader.join()
        assert got == [expected]


class Interrupted(Exception):
    """By a signal."""


def test_signals_are_handled_while_a_client_stalls(path: Path) -> None:
    def raise_it(*_: object) -> None:
        raise Interrupted

    chunks = list(clone(path))
    ours, theirs = socket.socketpair()
    before = signal.signal(signal.SIGUSR1, raise_it)
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGUSR1))
    try:
        with ours, theirs:
            stream = SocketStream(ours, 0.0)
            timer.start()
            with pytest.raises(Interrupted):
                deque(map(stream.write, chunks), 0)
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)


def test_one_descriptor_serves_all_who_send(path: Path) -> None:
    repository = NativeRepository.open(str(path))
    tip = repository.refs.snapshot().get(b"refs/heads/main")
    assert tip is not None
    objects = repository.objects.snapshot()
    before = len(os.listdir("/proc/self/fd"))
    streams = [PackStream(objects, [tip]) for _ in range(10)]
    chunks = [next(stream) for stream in streams]
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    del chunks
    for stream in streams:
        stream.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_who_takes_nothing_or_goes_is_told_apart(path: Path) -> None:
    chunks = list(clone(path))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = SocketStream(ours, 0.05)
        with pytest.raises(PeerTimeout):
            deque(map(stream.write, chunks), 0)
        theirs.close()
        with pytest.raises(HangupError):
            stream.write(chunks[0])


def test_a_remembered_pack_is_sent_from_its_file(
    path: Path, tmp_path: Path, newest_git: Git
) -> None:
    cache = PackCache.open(str(tmp_path / "cache"), 64 << 20)
    # loose, so that it is worth remembering
    content = pack_of(path).read_bytes()
    shutil.rmtree(path / "objects" / "pack")
    newest_git.run("unpack-objects", "-q", cwd=path, stdin=content)
    packs = {received(send(clone(path, 0, cache))) for _ in range(4)}
    assert len(packs) == 1
    assert cache.hits > 0
    (kept,) = (tmp_path / "cache").glob("*.pack")
    stream = clone(path, 0, cache)
    first = next(stream)
    assert received(lambda client: client.write(first)) == bytes(first)
    chunks = list(stream)
    os.truncate(kept, 1 << 20)
    with pytest.raises(RepositoryError, match=f"{kept.name}: the file shrank"):
        bytes(chunks[-1])
    # it is made again
    assert {received(send(clone(path, 0, cache)))} == packs
