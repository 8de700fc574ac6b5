"""A client that has ended its side: is it spoken to, and does the work end when nobody reads?"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from gitserve._core import Client, Quarantine
from gitserve.archiving.request import ArchiveRefused
from gitserve.errors import HangupError
from gitserve.repository.native import NativeRepository
from gitserve.service import keepalive
from gitserve.service.archive import ArchiveService
from gitserve.service.keepalive import EMPTY, MIN_OBJECTS, Waiting, kept_alive
from gitserve.service.remarks import Remarks
from gitserve.service.streams import Conversation
from gitserve.session.effects import Framing, SendArchive
from gitserve.transport.streams import SocketStream

from tests.support.gits import Git
from tests.support.history import data
from tests.support.repositories import WHO, feed, new_bare

LENGTH = 900
"""Commits: a walk looks up after each 256."""


@pytest.fixture
def ends() -> Iterator[tuple[Conversation, socket.socket]]:
    """Ours, as a conversation, and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours = listener.accept()[0]
    with ours, theirs:
        stream = SocketStream(ours, 0)
        yield Conversation(stream, stream, ours.fileno()), theirs


@pytest.fixture
def history(tmp_path: Path, newest_git: Git) -> Path:
    path = tmp_path / "long.git"
    new_bare(newest_git, path)
    commit = b"commit refs/heads/main\ncommitter %b\n%b" % (WHO, data(b"c"))
    feed(newest_git, path, commit * LENGTH + b"done\n")
    return path


def until_gone(look: Callable[[], object]) -> None:
    """The test's own timeout ends it if that is never seen."""
    while True:
        try:
            look()
        except HangupError:
            return


def test_work_ends_when_nobody_reads(ends: tuple[Conversation, socket.socket]) -> None:
    conversation, theirs = ends
    theirs.close()
    until_gone(Waiting(conversation).look)


def test_who_listens_is_told_nothing_once(
    ends: tuple[Conversation, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keepalive, "LOOK", 0.0)
    conversation, theirs = ends
    waiting = Waiting(conversation)
    waiting.look()
    theirs.shutdown(socket.SHUT_WR)
    theirs.setblocking(False)
    told = b""
    while not told:
        waiting.look()
        with suppress(BlockingIOError):
            told = theirs.recv(100)
    for _ in range(100):
        waiting.look()
    assert told == EMPTY
    with pytest.raises(BlockingIOError):
        theirs.recv(100)


def test_who_cannot_be_seen_is_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stream = SocketStream(ours, 0)
        Waiting(Conversation(stream, stream)).look()


def test_a_pusher_is_asked_while_the_core_works(
    ends: tuple[Conversation, socket.socket],
) -> None:
    conversation, theirs = ends
    assert conversation.client is not None
    client = conversation.client.spoken_to()
    remarks = Remarks(conversation, Framing.SIDE_BAND_64K)
    with kept_alive(remarks, 3600, MIN_OBJECTS, client):
        theirs.shutdown(socket.SHUT_WR)
        assert theirs.recv(100) == EMPTY, "long before the hour is over"
        client.look()  # it reads
        theirs.close()
        remarks.keep_alive()
        until_gone(client.look)


def test_the_check_of_a_push_ends(ends: tuple[Conversation, socket.socket], history: Path) -> None:
    conversation, theirs = ends
    repository = NativeRepository.open(str(history))
    tip = repository.refs.snapshot().get(b"refs/heads/main")
    assert tip is not None
    quarantine = Quarantine(repository.objects_dir, "sha1")
    client = Client(theirs.fileno(), may_listen=False)
    assert quarantine.unconnected([tip], [], client=client) == ([], None)
    conversation.write(b"x")
    conversation.flush()
    other = Client(theirs.fileno(), may_listen=False)
    theirs.shutdown(socket.SHUT_RDWR)
    until_gone(other.look)
    with pytest.raises(HangupError):
        quarantine.unconnected([tip], [], client=other)
    quarantine.discard()


def test_an_archive_ends_of_which_nothing_is_written(
    ends: tuple[Conversation, socket.socket],
    history: Path,
    newest_git: Git,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything in it is passed over."""
    monkeypatch.setattr(keepalive, "LOOK", 0.0)
    files = b"".join(b"M 100644 inline %d\n%b" % (nth, data(b"f")) for nth in range(500))
    commit = b"commit refs/heads/wide\ncommitter %b\n%b%b" % (WHO, data(b"w"), files)
    feed(newest_git, history, commit + b"done\n")
    conversation, theirs = ends
    service = ArchiveService(NativeRepository.open(str(history)), conversation)
    wanted = (b"wide", b"none*")

    def look() -> None:
        with pytest.raises(ArchiveRefused):
            list(service.send_archive(SendArchive(wanted)))

    look()
    theirs.close()
    until_gone(look)
