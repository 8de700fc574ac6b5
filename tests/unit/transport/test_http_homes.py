"""Packs of HTTP's answers that another worker makes: the same answers, each begun once."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gitserve.errors import Busy
from gitserve.options import ConnectionOptions
from gitserve.service.orders import Order, Outcome, Trouble
from gitserve.service.requests import ServiceOptions
from gitserve.service.streams import Begun, Conversation
from gitserve.service.upload import UploadService
from gitserve.transport.exports import Exports
from gitserve.transport.homes import Homes
from gitserve.transport.httpapp import GitHttp, find_exported
from gitserve.transport.httpserver import HttpServer
from gitserve.transport.log import Log
from gitserve.transport.pool import Connection

from tests.support.gits import Git
from tests.support.orders import SIZE, answering, at_home, elsewhere
from tests.support.raw import DELIM, FLUSH, pkt

Ask = Callable[..., bytes]


class Lines(Log):
    """A log that a test reads."""

    def __init__(self) -> None:
        super().__init__(None)
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    detail = line


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def ask(path: Path, newest_git: Git, log: Lines) -> Ask:
    """Posts a fetch to a worker with these homes; all that comes back."""
    tip = newest_git.text("rev-parse", "main", cwd=path).encode()

    def asked(homes: Homes | None, version: int = 2, *extra: bytes, http: bytes = b"1.1") -> bytes:
        app = GitHttp(
            find_exported(Exports(base_path=str(path.parent), export_all=True)),
            options=ServiceOptions(homes=homes),
            log=log,
        )
        base = {"SERVER_NAME": "here", "SERVER_PORT": "80", "SCRIPT_NAME": "", "REMOTE_HOST": ""}
        server = HttpServer(app, ConnectionOptions(), log, base)
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
            while piece := ours.recv(1 << 16):
                said += piece
        thread.join(20)
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
    path: Path, homes: Homes, ask: Ask, log: Lines, version: int, extra: tuple[bytes, ...],
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
    thread.join()
    assert said == ask(None)


def test_both_are_busy(path: Path, homes: Homes, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        objects = pack_bytes = 0

        def __iter__(self) -> Iterator[bytes]:
            raise Busy("too many wait")

        def close(self) -> None:
            pass

    monkeypatch.setattr(UploadService, "_pack_stream", lambda *_: Stream())
    with at_home(homes, path):
        said = ask(elsewhere(homes, path))
    assert said.startswith(b"HTTP/1.1 429 ")
    assert said.count(b"HTTP/1.1 ") == 1


def test_a_home_that_ends_with_the_pack_half_sent(
    path: Path, homes: Homes, ask: Ask, log: Lines
) -> None:
    def begin(client: socket.socket, order: tuple[Order, Begun]) -> None:
        client.sendall(order[1].head + b"0fff\1PACK")

    thread = answering(homes.move_in(homes.of(str(path))), begin)
    said = ask(elsewhere(homes, path))
    thread.join()
    assert_one_answer(said)
    assert said.endswith(b"\r\n\r\n0fff\1PACK")
    assert any("has ended" in line for line in log.lines), log.lines


def test_trouble_within_the_pack(path: Path, homes: Homes, ask: Ask, log: Lines) -> None:
    """The client hears of it behind what it has got."""
    (pack,) = (path / "objects" / "pack").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[SIZE // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)
    with at_home(homes, path):
        said = ask(elsewhere(homes, path))
    assert_one_answer(said)
    assert said == ask(None)
    assert all("RepositoryError" in line for line in log.lines), log.lines
