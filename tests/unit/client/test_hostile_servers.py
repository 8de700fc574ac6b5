"""Servers that say nonsense, stop in the middle or never end: a clear error, nothing left."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gitserve.client import ClientLimits, LocalGitClient, RemoteError
from gitserve.errors import (
    GitServeError,
    HangupError,
    NotGitRepository,
    PackError,
    PeerError,
)
from gitserve.repo import Repo
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import encode

from tests.support.gits import Git, object_ids
from tests.support.our_client import Walker, empty_target, files_of
from tests.support.scripted_road import RecordingClient, ScriptedClient

Form = Callable[[str], Path]
ID = b"1234567890" * 4
ADVERTISED = encode(
    ID + b" refs/heads/main\0multi_ack_detailed side-band-64k ofs-delta shallow\n"
) + b"0000"  # fmt: skip
V2 = b"000eversion 2\n" + encode(b"ls-refs") + encode(b"fetch=shallow") + b"0000"
V2_REFS = V2 + encode(ID + b" refs/heads/main\n") + b"0000"


@pytest.fixture
def to(newest_git: Git, tmp_path: Path) -> Path:
    empty_target(newest_git, tmp_path / "to.git")
    return tmp_path / "to.git"


@pytest.fixture(params=[0, 2], ids=["v0", "v2"])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def recorded(form: Form, newest_git: Git, tmp_path: Path, version: int) -> bytes:
    """All that a server says in a whole fetch."""
    client = RecordingClient()
    target = empty_target(newest_git, tmp_path / "recording.git")
    client.fetch(str(form("small")), target, protocol_version=version)
    return bytes(client.heard)


def fails(
    to: Path, answer: bytes | Callable[[], Iterator[bytes]], limits: ClientLimits | None = None
) -> GitServeError:
    """The error that a fetch ends with; the target must be as it was."""
    before = files_of(to)
    client = ScriptedClient(answer, limits)
    with pytest.raises(GitServeError) as caught:
        client.fetch("/x", Repo(to))
    assert files_of(to) == before
    assert client.roads[-1].closed
    return caught.value


def test_recording_is_a_fetch(recorded: bytes, to: Path, form: Form, newest_git: Git) -> None:
    result = ScriptedClient(recorded).fetch("/x", Repo(to))
    assert result.objects == len(object_ids(newest_git, form("small")))


def test_cut_off_anywhere(recorded: bytes, to: Path) -> None:
    # All places in the dialogue's lines, and some in the pack. Without the last flush it is whole.
    places = {*range(0, 200, 3), *range(200, len(recorded) - 4, 97), len(recorded) - 5}
    for place in sorted(place for place in places if place < len(recorded) - 4):
        error = fails(to, recorded[:place])
        assert isinstance(error, HangupError | NotGitRepository | PeerError), place


def test_damaged_anywhere(recorded: bytes, to: Path, newest_git: Git, form: Form) -> None:
    chance = random.Random(1)
    whole = object_ids(newest_git, form("small"))
    for _ in range(150):
        place = chance.randrange(len(recorded))
        damaged = bytearray(recorded)
        damaged[place] ^= 1 << chance.randrange(8)
        before = files_of(to)
        try:
            result = ScriptedClient(bytes(damaged)).fetch("/x", Repo(to))
        except GitServeError:
            assert files_of(to) == before, place
        else:
            # It hit a name or a word for people: then all that was asked for is there.
            assert result.objects == len(whole), place
            for path in (to / "objects").rglob("pack-*"):
                path.unlink()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"", HangupError, "hung up"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Malformed, "bad line length character"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Malformed, "bad line length character"),
        (b"fff0", HangupError, "middle of a packet"),
        (b"ffff", Malformed, "bad line length"),
        (b"0003", Malformed, "bad line length"),
        (b"0001", Malformed, "marker"),
        (encode(b"version 3\n") + b"0000", Malformed, "version 3"),
        (encode(b"no ref at all") + b"0000", Malformed, "unexpected ref line"),
        (encode(b"x" * 40 + b" refs/heads/x\0") + b"0000", Malformed, "no object id"),
        (encode(b"ERR go away\n"), RemoteError, "^go away$"),
        (encode(b"ERR access denied or repository not exported: /x"), NotGitRepository, "denied"),
        (encode(b"ERR \x1b]0;owned\x07"), RemoteError, r"^\?\]0;owned\?$"),
        (encode(ID + b" HEAD\0object-format=md5") + b"0000", Malformed, "unknown object format"),
        (V2, HangupError, "hung up"),
        (V2 + encode(b"junk") + b"0000", Malformed, "unexpected ref line"),
        (V2 + encode(b"ERR upload-pack: no"), RemoteError, "no"),
        (b"000eversion 2\n0000", Malformed, "no ls-refs"),
        (V2_REFS + encode(b"junk\n") + b"0000", Malformed, "unknown section"),
        (V2_REFS + encode(b"packfile\n") + encode(b"\3broken\n"), RemoteError, "^broken$"),
        (V2_REFS + encode(b"packfile\n") + encode(b"\4x") + b"0000", Malformed, "bad band"),
        (V2_REFS + encode(b"packfile\n") + b"0000", HangupError, "no pack"),
        (V2_REFS + encode(b"packfile\n") + encode(b"\1PACKjunkjunkjunk"), PackError, ""),
        (V2_REFS + encode(b"acknowledgments\n") + b"0000", Malformed, "another section"),
        (ADVERTISED + encode(b"ACK " + ID), HangupError, "middle"),
        (ADVERTISED + encode(b"NAK\n") + encode(b"\3no memory"), RemoteError, "no memory"),
        (ADVERTISED + encode(b"what?\n"), Malformed, "ACK/NAK"),
        (ADVERTISED + b"0000", Malformed, "marker"),
    ],
)
def test_nonsense(to: Path, answer: bytes, kind: type[GitServeError], words: str) -> None:
    error = fails(to, answer)
    assert isinstance(error, kind), repr(error)
    assert re.search(words, str(error)), str(error)


def test_another_pack_than_was_asked_for(form: Form, to: Path) -> None:
    """Whole and sound, but not what the refs need."""
    pieces: list[bytes] = []
    LocalGitClient().fetch_pack(
        str(form("small")), lambda refs: [refs[b"refs/heads/side"]], Walker(), pieces.append
    )
    pack = b"".join(pieces)
    answer = V2_REFS + encode(b"packfile\n") + encode(b"\1" + pack) + b"0000"
    error = fails(to, answer)
    assert isinstance(error, PackError)
    assert ID.decode() in str(error)
    longer = V2_REFS + encode(b"packfile\n") + encode(b"\1" + pack + b"more") + b"0000"
    assert "behind the end" in str(fails(to, longer))


def endless(start: bytes, again: bytes) -> Callable[[], Iterator[bytes]]:
    def pieces() -> Iterator[bytes]:
        yield start
        while True:
            yield again

    return pieces


SMALL = ClientLimits(
    max_lines=10_000, max_section_bytes=1 << 20, max_idle_packets=10_000, max_pack_bytes=1 << 20
)


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"", encode(ID + b" refs/heads/x\n") * 1000),
        (V2, encode(ID + b" refs/heads/x\n") * 1000),
        (b"", encode(ID + b" refs/heads/" + b"x" * 60000)),
        (V2_REFS + encode(b"packfile\n"), encode(b"\2Counting\r") * 1000),
        (V2_REFS + encode(b"packfile\n"), encode(b"\1") * 1000),
        (
            V2_REFS
            + encode(b"packfile\n")
            + encode(b"\1PACK\0\0\0\2\0\1\0\0\xb0\x80\x80\x01x\x9c"),
            encode(b"\1\0\xff\xff\0\0" + b"x" * 65000),
        ),
        (ADVERTISED, encode(b"ACK " + ID + b" common\n") * 1000),
    ],
)
def test_without_end(to: Path, start: bytes, again: bytes) -> None:
    assert isinstance(fails(to, endless(start, again), SMALL), PeerError)


def test_acknowledgment_of_what_was_not_said(form: Form, newest_git: Git, tmp_path: Path) -> None:
    to = tmp_path / "clone.git"
    newest_git.run("clone", "-q", "--bare", f"file://{form('small')}", to)
    lie = encode(b"ACK " + b"a" * 40 + b" common\n")
    assert "not told of" in str(fails(to, ADVERTISED + lie))
    lie = encode(b"acknowledgments\n") + encode(b"ACK " + b"a" * 40 + b"\n") + b"0000"
    assert "not told of" in str(fails(to, V2_REFS + lie))


PUSHED = encode(ID + b" refs/heads/main\0report-status delete-refs side-band-64k\n") + b"0000"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "before it reported"),
        (encode(b"\1" + encode(b"unpack ok\n")), "before it reported"),
        (encode(b"\1" + encode(b"what?\n") + b"0000") + b"0000", "unpack status"),
        (encode(b"\3out of disk\n"), "out of disk"),
        (encode(b"\1" + encode(b"unpack disk full\n") + b"0000") + b"0000", "disk full"),
    ],
)
def test_push_reports(answer: bytes, words: str) -> None:
    client = ScriptedClient(PUSHED + answer)
    with pytest.raises(PeerError, match=words):
        client.send_pack("/x", lambda _refs: {b"refs/heads/main": b"0" * 40}, lambda *_a: [])


def test_push_without_a_word_on_a_ref() -> None:
    answer = encode(b"\1" + encode(b"unpack ok\n") + b"0000") + b"0000"
    result = ScriptedClient(PUSHED + answer).send_pack(
        "/x", lambda _refs: {b"refs/heads/main": b"0" * 40}, lambda *_a: []
    )
    assert result.ref_status == {b"refs/heads/main": "the server failed to report"}
