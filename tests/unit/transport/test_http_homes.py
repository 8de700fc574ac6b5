"""Packs of HTTP's answers that another worker makes: the same answers, each begun once."""

from __future__ import annotations

import gc
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gitserve.errors import Busy
from gitserve.options import ConnectionOptions
from gitserve.service import streams
from gitserve.service.orders import Order, Outcome, Trouble
from gitserve.service.requests import ServiceOptions
from gitserve.service.streams import Begun, Conversation
from gitserve.service.upload import UploadService
from gitserve.transport.exports import Exports
from gitserve.transport.homes import Homes
from gitserve.transport.httpapp import GitHttp, find_exported
from gitserve.transport.httpserver import HttpServer
from gitserve.transport.pool import Connection

from tests.support.gits import Git
from tests.support.kept_log import KeptLog
from tests.support.orders import SIZE, answering, at_home, elsewhere, spoil
from tests.support.raw import DELIM, FLUSH, pkt

Ask = Callable[..., bytes]


@pytest.fixture
def log() -> KeptLog:
    return KeptLog()


@pytest.fixture
def ask(path: Path, newest_git: Git, log: KeptLog) -> Ask:
    """Posts a fetch to a worker with these homes; all that comes back."""
    tip = newest_git.text("rev-parse", "main", cwd=path).encode()

    def asked(
        homes: Homes | None, version: int = 2, *extra: bytes, http: bytes = b"1.1",
        stalls: bool = False, leaves: bool = False,
    ) -> bytes:  # fmt: skip
        app = GitHttp(
            find_exported(Exports(base_path=str(path.parent), export_all=True)),
            options=ServiceOptions(homes=homes),
            log=log,
        )
        base = {"SERVER_NAME": "here", "SERVER_PORT": "80", "SCRIPT_NAME": "", "REMOTE_HOST": ""}
        server = HttpServer(app, ConnectionOptions(timeout=0.5), log, base)
        if version == 2:
            body = pkt(b"command=fetch\n") + DELIM + pkt(b"want " + tip + b"\n")
            body += b"".join(map(pkt, extra)) + pkt(b"done\n") + FLUSH
        else:
            body = pkt(b"want " + tip + b" ofs-delta shallow\n")
            body += b"".join(map(pkt, extra)) + FLUSH + pkt(b"done\n")
        ours, theirs = socket.socketpair()

        def serve() -> None:
            with theirs:
                server.serve(Connection(theirs, ("127.0.0.1", 1)))

        thread = threading.Thread(target=serve)
        thread.start()
        said = b""
        with ours:
            ours.settimeout(30)
            ours.sendall(
                b"POST /%b/git-upload-pack HTTP/%b\r\nHost: here\r\nGit-Protocol: version=%d\r\n"
                b"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: %d\r\n\r\n"
                % (path.name.encode(), http, version, len(body))
                + body
            )
            if stalls:
                thread.join(10)
            while (piece := ours.recv(1 << 16)) and not leaves:
                said += piece
        thread.join(20)
        assert not thread.is_alive()
        return re.sub(rb"\r\nDate: [^\r]*", b"", said)

    return asked


def assert_one_answer(said: bytes) -> None:
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.count(b"HTTP/1.1 ") == said.count(b"\r\nConnection: close\r\n") == 1


@pytest.mark.parametrize("http", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    ("version", "extra"), [(0, ()), (2, ()), (0, (b"deepen 1",)), (2, (b"deepen 1\n",))]
)
def test_the_same_answer(
    path: Path, homes: Homes, ask: Ask, log: KeptLog, version: int, extra: tuple[bytes, ...],
    http: bytes, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    want = ask(None, version, *extra, http=http)
    assert_one_answer(want)
    assert len(want) > SIZE
    asked = elsewhere(homes, path)
    made: list[Outcome | None] = []
    make = asked.make

    def noted(order: Order, conversation: Conversation) -> Outcome | None:
        made.append(make(order, conversation))
        return made[-1]

    monkeypatch.setattr(asked, "make", noted)
    with at_home(homes, path):
        assert ask(asked, version, *extra, http=http) == want
    assert [one.trouble for one in made if one is not None] == [None]
    alone, ordered = (re.sub(r" seconds=.*", "", line) for line in log.lines)
    assert alone == ordered
    assert " 200 ok; objects=" in alone


def test_a_home_that_is_busy(path: Path, homes: Homes, ask: Ask) -> None:
    """Whoever has the client makes it, and the status is his."""
    refused = Outcome(trouble=Trouble.of(Busy("too many wait")))
    mailbox = homes.move_in(homes.of(str(path)))
    thread = answering(mailbox, lambda _client, _order: refused)
    said = ask(elsewhere(homes, path))
    thread.join(20)
    assert not thread.is_alive()
    assert said == ask(None)


@pytest.mark.parametrize("join_below", [96 << 10, 16])
def test_both_are_busy(
    path: Path, homes: Homes, ask: Ask, join_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is still open, however much the client is to be told before the pack."""
    monkeypatch.setattr(streams, "JOIN_BELOW", join_below)
    asked: list[object] = []

    class Stream:
        objects = pack_bytes = 0

        def __iter__(self) -> Iterator[bytes]:
            raise Busy("too many wait")

        def close(self) -> None:
            pass

    def stream(service: object, *_: object) -> Stream:
        asked.append(service)
        return Stream()

    monkeypatch.setattr(UploadService, "_pack_stream", stream)
    with at_home(homes, path):
        said = ask(elsewhere(homes, path), 2, b"deepen 1\n")
    assert len(asked) == 2, "the home and who has the client"
    assert said.startswith(b"HTTP/1.1 429 ")
    assert said.count(b"HTTP/1.1 ") == 1


def test_a_home_that_ends_with_the_pack_half_sent(
    path: Path, homes: Homes, ask: Ask, log: KeptLog
) -> None:
    def begin(client: socket.socket, order: tuple[Order, Begun]) -> None:
        client.sendall(order[1].head + b"0fff\1PACK")

    thread = answering(homes.move_in(homes.of(str(path))), begin)
    said = ask(elsewhere(homes, path))
    thread.join(20)
    assert not thread.is_alive()
    assert_one_answer(said)
    assert said.endswith(b"\r\n\r\n0fff\1PACK")
    (line,) = log.lines
    assert " 200 failed: InternalError: the process that made the pack has ended; " in line


def test_trouble_within_the_pack(path: Path, homes: Homes, ask: Ask, log: KeptLog) -> None:
    """The client hears of it behind what it has got."""
    spoil(path)
    with at_home(homes, path):
        said = ask(elsewhere(homes, path))
    assert_one_answer(said)
    assert said == ask(None)
    assert all("RepositoryError" in line for line in log.lines), log.lines


@pytest.mark.parametrize("extra", [(), (b"deepen 1\n",)])
def test_a_client_that_stalls(
    path: Path, homes: Homes, ask: Ask, log: KeptLog, extra: tuple[bytes, ...]
) -> None:
    """Behind a part of a packet nothing is said."""
    with at_home(homes, path):
        said = ask(elsewhere(homes, path), 2, *extra, stalls=True)
    assert_one_answer(said)
    whole = ask(None, 2, *extra)
    assert whole.startswith(said)
    assert len(said) < len(whole)
    assert " 200 client failed: the peer took nothing for too long; " in log.lines[0]


@pytest.mark.parametrize("leaves", [True, False])
def test_nothing_is_left(path: Path, homes: Homes, ask: Ask, leaves: bool) -> None:
    """As :mod:`.test_garbage` has it of git://."""
    with at_home(homes, path):
        ask(elsewhere(homes, path), leaves=leaves)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            ask(elsewhere(homes, path), leaves=leaves)
            gc.collect()
            left = {type(one).__qualname__ for one in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
    assert not left & {"UploadService", "Snapshot", "RefSnapshot", "Negotiation", "Order", "Call"}
