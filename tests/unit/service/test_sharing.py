"""Large requests share what there is; small ones wait for nothing; nobody works for who is gone."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from gitserve._core import Client, PackStream, large_requests, limit_learning, share_out
from gitserve.errors import Busy, HangupError
from gitserve.repository.native import NativeRepository
from gitserve.service import sharing
from gitserve.service.requests import Manner, ServiceOptions, serve_upload
from gitserve.service.sharing import available_memory, share
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.transport.httpapp import GitHttp
from gitserve.transport.log import Log
from gitserve.transport.streams import SocketStream

from tests.support.gits import Git
from tests.support.history import HistoryShape
from tests.support.raw import FLUSH, pkt
from tests.support.repositories import feed_history, large_blob, new_bare

SIZE = 24 << 20
"""Bytes of a clone: several times what is written ahead of a client that reads nothing."""


LEARNT = 384 << 20
"""Bytes that are kept unless somebody says otherwise."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> NativeRepository:
    path = tmp_path_factory.mktemp("sharing") / "large.git"
    large_blob(newest_git, path, SIZE)
    return NativeRepository.open(str(path))


@pytest.fixture(autouse=True)
def unlimited() -> Iterator[None]:
    """A test's limits end with it."""
    yield
    share_out()
    limit_learning(LEARNT)


@pytest.fixture
def streams() -> Iterator[ExitStack]:
    """Ends what a test leaves open, also when it fails."""
    with ExitStack() as stack:
        yield stack


def until(condition: Callable[[], bool]) -> None:
    """The test's own timeout ends it if it never comes."""
    while not condition():
        time.sleep(0.001)


def tip(repository: NativeRepository) -> bytes:
    found = repository.refs.snapshot().get(b"refs/heads/main")
    assert found is not None
    return found


def clone(repository: NativeRepository, **options: Any) -> PackStream:
    return PackStream(repository.objects.snapshot(), [tip(repository)], **options)


class Reader(threading.Thread):
    """Reads a stream to its end, or to its error."""

    def __init__(self, stream: PackStream) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.size = 0
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            for chunk in self._stream:
                self.size += len(chunk)
        except HangupError as error:
            self.error = error
        self._stream.close()


def test_what_requests_leave_behind_has_a_limit(
    tmp_path_factory: pytest.TempPathFactory, newest_git: Git
) -> None:
    path = tmp_path_factory.mktemp("learnt") / "long.git"
    new_bare(newest_git, path)
    feed_history(newest_git, path, 9, HistoryShape(commits=700, files=3, lines=5, tag_every=0))
    newest_git.run("-c", "repack.writeBitmaps=false", "repack", "-adq", cwd=path)
    long = NativeRepository.open(str(path))

    def is_known() -> bool:
        told = b"".join(clone(long, ofs_delta=True, progress=True))
        assert b"pack-reused" in told
        return b"pack-reused 0" not in told

    share(memory=0, workers=2, max_waiting=0, learnt_memory=0)
    assert [is_known() for _ in range(3)] == [False] * 3
    share(memory=0, workers=2, max_waiting=0)
    assert [is_known() for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("memory", "workers", "each"),
    [(64 << 30, 2, LEARNT), (64 << 30, 64, 128 << 20), (1 << 30, 2, 64 << 20)],
)
def test_what_is_learnt_is_a_part_of_the_memory(
    monkeypatch: pytest.MonkeyPatch, memory: int, workers: int, each: int
) -> None:
    told: list[int] = []
    monkeypatch.setattr(sharing, "available_memory", lambda: memory)
    monkeypatch.setattr(sharing, "limit_learning", told.append)
    share(memory=0, workers=workers, max_waiting=0)
    share(memory=0, workers=workers, max_waiting=0, learnt_memory=each * 3)
    assert told == [each, each * 3 // workers]


def test_small_requests_pass_large_ones_that_wait(
    repository: NativeRepository, streams: ExitStack
) -> None:
    share_out(memory=1, places=1, small_work=0)
    stalled = streams.enter_context(closing(clone(repository)))
    next(stalled)
    waiting = [Reader(clone(repository)) for _ in range(3)]
    until(lambda: large_requests() == (1, 3))
    share_out(memory=1, places=1, small_work=3600)
    small = Reader(clone(repository))
    small.join()
    assert small.size > SIZE
    assert large_requests() == (1, 3)
    stalled.close()
    for reader in waiting:
        reader.join()
        assert reader.size > SIZE


def test_who_does_not_read_holds_up_nobody(
    repository: NativeRepository, streams: ExitStack
) -> None:
    share_out(places=1, small_work=0)
    stalled = [streams.enter_context(closing(clone(repository))) for _ in range(4)]
    for stream in stalled:
        next(stream)
    reader = Reader(clone(repository))
    reader.join()
    assert reader.size > SIZE


def test_work_ends_with_its_client(repository: NativeRepository, streams: ExitStack) -> None:
    share_out(memory=1, small_work=0)
    stalled = streams.enter_context(closing(clone(repository)))
    next(stalled)
    ours, theirs = socket.socketpair()
    with ours:
        reader = Reader(clone(repository, client=Client(ours.fileno(), may_listen=True)))
        until(lambda: large_requests() == (1, 1))
        theirs.close()
        reader.join()
    assert isinstance(reader.error, HangupError)
    assert large_requests() == (1, 0)


def test_a_client_that_only_listens_is_served(
    repository: NativeRepository, streams: ExitStack
) -> None:
    share_out(memory=1, small_work=0)
    stalled = streams.enter_context(closing(clone(repository)))
    next(stalled)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = clone(repository, client=Client(ours.fileno(), may_listen=True))
        theirs.shutdown(socket.SHUT_WR)
        assert bytes(next(stream)) == b"0005\x01"  # asks the kernel whether anybody listens
        assert stream.urgent
        stalled.close()
        reader = Reader(stream)
        reader.join()
    assert reader.size > SIZE
    assert reader.error is None


def test_one_too_many_is_told_so(repository: NativeRepository, streams: ExitStack) -> None:
    share_out(memory=1, waiting=0, small_work=0)
    stalled = streams.enter_context(closing(clone(repository)))
    next(stalled)
    ours, theirs = socket.socketpair()
    request = pkt(b"command=fetch") + b"0001" + pkt(b"want " + tip(repository)) + pkt(b"done")
    with ours, theirs:
        theirs.sendall(request + FLUSH)
        stream = SocketStream(ours, 0)
        conversation = Conversation(stream, stream, ours.fileno())
        with pytest.raises(Busy):
            serve_upload(repository, conversation, Manner(2), ServiceOptions(), Tally())
        ours.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
        assert said.endswith(b"\x03the server is busy; please try again later\n")
    assert http_answer(repository, request + FLUSH) == ("429 Too Many Requests", "10")
    stalled.close()
    assert http_answer(repository, request + FLUSH)[0] == "200 OK"


def http_answer(repository: NativeRepository, request: bytes) -> tuple[str, str | None]:
    """Status and Retry-After."""

    told: list[tuple[str, str | None]] = []

    def start(status: str, headers: list[tuple[str, str]], _error: Any = None, /) -> Any:
        told.append((status, dict(headers).get("Retry-After")))

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/large.git/git-upload-pack",
        "CONTENT_TYPE": "application/x-git-upload-pack-request",
        "CONTENT_LENGTH": str(len(request)),
        "HTTP_GIT_PROTOCOL": "version=2",
        "wsgi.input": io.BytesIO(request),
    }
    answer = GitHttp(lambda _path: repository, log=Log(None))(environ, start)
    for _ in answer:
        pass
    if hasattr(answer, "close"):
        answer.close()
    return told[0]


def test_memory_is_known() -> None:
    assert available_memory() > 16 << 20
