"""A client that goes ends the work for it, whatever that is, on every road.

Deterministic without a long walk: another client holds all the memory for large requests, and every
request counts as large from its first look on. So the walk waits in line for ever, unless it is
seen that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gitserve._core import PackStream, large_requests, share_out
from gitserve.errors import HangupError
from gitserve.options import DaemonOptions
from gitserve.repository.native import NativeRepository
from gitserve.transport import stdio
from gitserve.transport.asgibridge import AsgiBridge
from gitserve.transport.exports import Exports
from gitserve.transport.httpapp import CLIENT_SOCKET, GitHttp
from gitserve.transport.pipes import PipeStream
from gitserve.transport.pool import Connection
from gitserve.transport.tcp import made_daemon

from tests.support.gits import Git
from tests.support.history import data
from tests.support.kept_log import KeptLog
from tests.support.raw import FLUSH, greeting, pkt
from tests.support.repositories import WHO, feed, new_bare

LENGTH = 900
"""Commits: a walk looks up after each 256."""

BLOB = 8 << 20
"""More than is made ahead of a client that reads nothing."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    path = tmp_path_factory.mktemp("leaving") / "long.git"
    new_bare(newest_git, path)
    when = b"C <c@example.org> %d +0000\n"
    stream = [
        b"commit refs/heads/main\ncommitter %b%b" % (when % (2000 + nth), data(b"c"))
        for nth in range(LENGTH)
    ]
    # of these none is reached from main, and the older one is older than all of it
    for name, time_ in ((b"stranger", 1000), (b"hidden", 5000)):
        stream.append(b"commit refs/heads/%b\ncommitter %b%b" % (name, when % time_, data(b"s")))
    feed(newest_git, path, b"".join(stream) + b"done\n")
    newest_git.run("config", "uploadpack.allowReachableSHA1InWant", "true", cwd=path)
    newest_git.run("config", "uploadpack.hideRefs", "refs/heads/hidden", cwd=path)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    """A copy of which nothing is known yet: what one request learns shortens the next walk."""
    return Path(shutil.copytree(original, tmp_path / "long.git"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    path = tmp_path_factory.mktemp("leaving") / "large.git"
    new_bare(newest_git, path)
    commit = b"commit refs/heads/main\ncommitter %b\n%bM 100644 inline big\n" % (WHO, data(b"l"))
    feed(newest_git, path, commit + data(os.urandom(BLOB)) + b"done\n")
    return path


@pytest.fixture
def held(large: Path) -> Iterator[None]:
    """Somebody has all the memory that there is."""
    share_out(memory=1, small_work=0)
    objects = NativeRepository.open(str(large)).objects.snapshot()
    try:
        with closing(PackStream(objects, [tip(large, "main")])) as stalled:
            next(stalled)
            yield
    finally:
        share_out()


def tip(path: Path, name: str) -> bytes:
    found = NativeRepository.open(str(path)).refs.snapshot().get(b"refs/heads/" + name.encode())
    assert found is not None
    return found


def until(condition: Callable[[], bool]) -> None:
    """The test's own timeout ends it if it never comes."""
    while not condition():
        time.sleep(0.001)


CAPABILITIES = b" multi_ack_detailed no-progress side-band-64k ofs-delta"


def ready(path: Path) -> bytes:
    """Is it enough to have something that the want does not reach?"""
    want, have = tip(path, "main"), tip(path, "stranger")
    return pkt(b"want " + want + CAPABILITIES) + FLUSH + pkt(b"have " + have) + FLUSH


def reachable(path: Path) -> bytes:
    """May a client have what no ref leads to that it knows?"""
    return pkt(b"want " + tip(path, "hidden") + CAPABILITIES) + FLUSH + pkt(b"done")


def depth(path: Path) -> bytes:
    """Where does a history of so many commits end?"""
    asked = pkt(b"want " + tip(path, "main") + CAPABILITIES) + pkt(b"deepen %d" % (LENGTH - 1))
    return asked + FLUSH + pkt(b"done")


def since(path: Path) -> bytes:
    """And one that is not older than that?"""
    asked = pkt(b"want " + tip(path, "main") + CAPABILITIES) + pkt(b"deepen-since 1")
    return asked + FLUSH + pkt(b"done")


def pack(path: Path) -> bytes:
    """What does it reach?"""
    return pkt(b"want " + tip(path, "main") + CAPABILITIES) + FLUSH + pkt(b"done")


@dataclass
class Served:
    """One request on its way, and how its client goes."""

    work: Callable[[], object]
    leave: Callable[[], None]
    connection: socket.socket | None = None
    log: KeptLog = field(default_factory=KeptLog)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except HangupError as error:
            self.error = error


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends, the client's first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        return theirs, listener.accept()[0]


def over_git(path: Path, request: bytes) -> Served:
    theirs, accepted = connected()
    log = KeptLog()
    exports = Exports(base_path=str(path.parent), export_all=True)
    daemon = made_daemon(DaemonOptions(), exports, None, None, log)
    theirs.sendall(greeting(b"git-upload-pack", b"/long.git") + request)

    def leave() -> None:
        # what it was told of refs is read, as a client does: else the kernel says that it has gone
        theirs.setblocking(False)
        with theirs, contextlib.suppress(BlockingIOError):
            while theirs.recv(1 << 16):
                pass

    def work() -> None:
        with accepted:
            daemon.serve(Connection(accepted, accepted.getpeername()))

    return Served(work, leave, theirs, log)


def over_http(path: Path, request: bytes) -> Served:
    theirs, accepted = connected()
    log = KeptLog()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/long.git/git-upload-pack",
        "CONTENT_TYPE": "application/x-git-upload-pack-request",
        "CONTENT_LENGTH": str(len(request)),
        "wsgi.input": io.BytesIO(request),
        CLIENT_SOCKET: accepted,
    }

    def work() -> None:
        with accepted:
            app = GitHttp(lambda _path: NativeRepository.open(str(path)), log=log)
            answer = app(environ, lambda *_: lambda _data: None)
            with contextlib.suppress(OSError):
                for piece in answer:
                    accepted.sendall(piece)
            if hasattr(answer, "close"):
                answer.close()

    return Served(work, theirs.close, theirs, log)


def over_asgi(path: Path, request: bytes) -> Served:
    log = KeptLog()
    loop = asyncio.new_event_loop()
    gone = asyncio.Event()
    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/long.git/git-upload-pack",
        "headers": [(b"content-type", b"application/x-git-upload-pack-request")],
    }  # fmt: skip
    messages = [{"type": "http.request", "body": request}]

    async def receive() -> MutableMapping[str, Any]:
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_message: MutableMapping[str, Any]) -> None: ...

    def work() -> None:
        bridge = AsgiBridge(GitHttp(lambda _path: NativeRepository.open(str(path)), log=log))
        with closing(loop):
            loop.run_until_complete(bridge(scope, receive, send))

    def leave() -> None:
        loop.call_soon_threadsafe(gone.set)

    return Served(work, leave, log=log)


def over_pipes(path: Path, request: bytes) -> Served:
    (source, asking), (answers, sink) = os.pipe(), os.pipe()
    os.write(asking, request)

    def work() -> None:
        try:
            pipes = PipeStream(source, sink)
            stdio._serve("upload-pack", stdio.Call(str(path)), os.environ, pipes)
        finally:
            for descriptor in (source, sink, asking):
                os.close(descriptor)

    return Served(work, lambda: os.close(answers))


ROADS = {"git": over_git, "http": over_http, "asgi": over_asgi, "stdio": over_pipes}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("kind", [ready, reachable, depth, since, pack])
@pytest.mark.usefixtures("held")
def test_work_ends_with_its_client(
    path: Path,
    kind: Callable[[Path], bytes],
    road: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stdio, "serve_only", lambda: None)  # this process does more
    served = ROADS[road](path, kind(path))
    serving = threading.Thread(target=served.run, daemon=True)
    serving.start()
    until(lambda: large_requests() == (1, 1))
    served.leave()
    serving.join()
    assert large_requests() == (1, 0)
    if road == "stdio":
        assert isinstance(served.error, HangupError)
    else:
        assert "client failed: the remote end hung up unexpectedly" in served.log.lines[-1]


@pytest.mark.parametrize("kind", [ready, reachable, depth, since])
@pytest.mark.usefixtures("held")
def test_who_only_listens_is_answered(
    original: Path, tmp_path: Path, kind: Callable[[Path], bytes]
) -> None:
    """It has ended its side, and gets the same bytes; the first of them early."""
    told = []
    for waits in (False, True):
        share_out(memory=1 if waits else 0, small_work=0)
        path = Path(shutil.copytree(original, tmp_path / str(waits) / "long.git"))
        served = over_git(path, kind(path))
        assert served.connection is not None
        served.connection.shutdown(socket.SHUT_WR)
        serving = threading.Thread(target=served.run, daemon=True)
        serving.start()
        with served.connection, served.connection.makefile("rb") as stream:
            refs = advertised(stream)
            if waits:
                begun = stream.read(1)
                assert (begun, large_requests()) == (b"0", (1, 1))
                share_out(small_work=0)
                refs += begun
            told.append((refs + stream.read()).replace(EMPTY, b""))
        serving.join()
    assert told[0] == told[1]
    assert len(told[0]) > len(refs)


EMPTY = b"0005\x01"
"""A packet that says nothing."""


def advertised(stream: io.BufferedReader) -> bytes:
    told = b""
    while (head := stream.read(4)) != FLUSH:
        told += head + stream.read(int(head, 16) - 4)
    return told + FLUSH
