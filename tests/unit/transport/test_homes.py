"""Packs that one worker has another one make: the same bytes, whatever becomes of the other."""

from __future__ import annotations

import copy
import os
import pickle
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from gitserve.errors import (
    Busy,
    GitServeError,
    HangupError,
    InternalError,
    MissingObject,
    PeerError,
    RepositoryError,
)
from gitserve.repository.config import ConfigError
from gitserve.repository.native import NativeRepository
from gitserve.service.orders import Outcome, Trouble
from gitserve.service.requests import ServiceOptions
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.service.upload import UploadService
from gitserve.session.effects import BeginNegotiation, SendPack
from gitserve.transport import homes as module
from gitserve.transport.counting import ConnectionCount, SharedCounts
from gitserve.transport.homes import NEIGHBOURS, THERE, Homes, Mailbox, serve_order
from gitserve.transport.pool import Connection, Pool
from gitserve.transport.streams import SocketStream
from gitserve.wire.malformed import Malformed

from tests.support.gits import Git
from tests.support.history import data
from tests.support.repositories import WHO, feed, new_bare

BEGUN = b"000dpackfile\n"
SIZE = 2 << 20
"""Bytes of the file: more than a socket takes unread."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    path = tmp_path_factory.mktemp("homes") / "packed.git"
    new_bare(newest_git, path)
    commit = b"commit refs/heads/main\ncommitter %s\n%bM 100644 inline big\n" % (WHO, data(b"big"))
    feed(newest_git, path, commit + data(random.Random(7).randbytes(SIZE)) + b"done\n")
    newest_git.run("tag", "-a", "-m", "a tag", "v1", "main", cwd=path)
    newest_git.run("repack", "-adq", cwd=path)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "packed.git"))


@pytest.fixture
def homes() -> Iterator[Homes]:
    made = Homes(2)
    yield made
    made.close()


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


def answering(mailbox: Mailbox, act: Callable[[socket.socket, object], object]) -> threading.Thread:
    """A home that takes one order and does what the test says."""

    def run() -> None:
        back, client = mailbox.accept()
        assert isinstance(client, socket.socket)
        with client, back, back.makefile("rwb") as file:
            file.write(THERE)
            file.flush()
            outcome = act(client, pickle.load(file))
            if outcome is not None:
                pickle.dump(outcome, file)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_same_bytes(path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    want = alone(path)
    assert want.startswith(BEGUN)
    assert len(want) > SIZE
    ordered = Ordered(path, elsewhere(homes, path))

    def here(_service: object, *_: object) -> None:
        raise AssertionError("it is made by who ordered it")

    with at_home(homes, path):
        monkeypatch.setattr(ordered._service, "_pack_stream", here, raising=True)
        ordered.send()
    assert ordered.client.end() == want
    assert ordered.client.conversation.sent == len(want)
    assert (ordered.tally.objects, ordered.tally.pack_bytes > SIZE) == (4, True)


def test_one_after_the_other_and_at_once(path: Path, homes: Homes) -> None:
    want = alone(path)
    other = elsewhere(homes, path)
    with at_home(homes, path):
        for _ in range(3):
            ordered = Ordered(path, other)
            ordered.send()
            assert ordered.client.end() == want
        many = [Ordered(path, other) for _ in range(12)]
        threads = [threading.Thread(target=one.send) for one in many]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert {one.client.end() for one in many} == {want}


def test_what_a_policy_hides_stays_hidden(path: Path, homes: Homes) -> None:
    hidden = (b"refs/tags/",)
    want = alone(path, hidden)
    assert len(want) < len(alone(path))
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path), hidden)
        ordered.send()
        assert ordered.client.end() == want
        assert ordered.tally.objects == 3


def test_whose_home_is_here_makes_it_himself(path: Path, homes: Homes) -> None:
    homes.move_in(homes.of(str(path)))
    ordered = Ordered(path, homes)
    ordered.send()
    assert ordered.client.end() == alone(path)


def test_nobody_is_there(path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that comes too late finds that the order was taken back."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    ordered = Ordered(path, elsewhere(homes, path))
    ordered.send()
    with at_home(homes, path):
        later = Ordered(path, elsewhere(homes, path))
        later.send()
    assert ordered.client.end() == later.client.end() == alone(path)


def test_a_full_mailbox(path: Path, homes: Homes) -> None:
    other = elsewhere(homes, path)
    box = homes._boxes[homes.of(str(path))][1]
    with suppress(BlockingIOError):
        while True:
            box.send(THERE, socket.MSG_DONTWAIT)
    begun = time.monotonic()
    ordered = Ordered(path, other)
    ordered.send()
    assert time.monotonic() - begun < module.PATIENCE
    assert ordered.client.end() == alone(path)


def test_an_order_without_descriptors_is_passed_over(path: Path, homes: Homes) -> None:
    homes._boxes[homes.of(str(path))][1].send(THERE)
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path))
        ordered.send()
        assert ordered.client.end() == alone(path)


def test_a_home_that_ends_before_it_has_the_order(path: Path, homes: Homes) -> None:
    mailbox = copy.copy(homes).move_in(homes.of(str(path)))

    def end() -> None:
        for one in mailbox.accept():
            one.close()

    thread = threading.Thread(target=end)
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
    (pack,) = (path / "objects" / "pack").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[SIZE // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)
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


@pytest.mark.parametrize(
    ("error", "kind", "wire"),
    [
        (PeerError("no", wire=b"never"), PeerError, b"never"),
        (Malformed("a bad line"), PeerError, None),
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
    with socket.socket() as one, socket.socket() as other:
        module._put(homes._boxes[0][1], one.fileno(), other.fileno())
    for came in mailbox.accept():
        assert isinstance(came, socket.socket)
        assert not came.get_inheritable()
        came.close()
