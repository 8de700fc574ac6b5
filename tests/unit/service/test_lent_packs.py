"""Packs that the kernel sends from their files: the same bytes on every road, and honest ends."""

from __future__ import annotations

import os
import random
import shutil
import socket
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from gitserve._core import Chunk, PackCache, PackStream
from gitserve.errors import HangupError, PeerTimeout, RepositoryError
from gitserve.repository.native import NativeRepository
from gitserve.service.streams import JOIN_BELOW, Conversation
from gitserve.transport.httpanswer import NoBody
from gitserve.transport.outbox import Outbox
from gitserve.transport.pipes import PipeStream
from gitserve.transport.streams import SocketStream

from tests.support.gits import Git
from tests.support.history import data
from tests.support.repositories import WHO, feed, new_bare

SIZE = (3 << 20) + (40 << 10)
"""Bytes of the blob: more than a socket or a pipe takes unread, and several chunks. The last one is
small."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    path = tmp_path_factory.mktemp("lent") / "packed.git"
    new_bare(newest_git, path)
    commit = b"commit refs/heads/main\ncommitter %s\n%bM 100644 inline big\n" % (WHO, data(b"big"))
    content = random.Random(7).randbytes(SIZE)
    small = b"M 100644 inline small\n" + data(b"small")
    feed(newest_git, path, commit + data(content) + small + b"done\n")
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
    repository = NativeRepository.open(str(path))
    tip = repository.refs.snapshot().get(b"refs/heads/main")
    assert tip is not None
    objects = repository.objects.snapshot()
    # what was sent once is checked, and not read for the next
    for _ in range(2):
        chunks = list(PackStream(objects, [tip]))
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
    # nor is it a bug where it goes with other small pieces
    conversation = Conversation(NoBody(), Outbox())
    conversation.write(b"small")
    assert len(chunks[-1]) < JOIN_BELOW
    conversation.write(chunks[-1])
    with pytest.raises(RepositoryError, match="the file shrank while it was sent"):
        conversation.flush()


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
