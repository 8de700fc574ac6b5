"""Pushes that are broken or mean no good: a clear report, and the repository as it was."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.by_hand import (
    ZERO,
    assert_still_serves,
    create,
    path_of,
    push,
    with_trailer,
)
from tests.support.gits import Git, assert_sound, refs
from tests.support.history import HistoryShape
from tests.support.raw import FLUSH, Raw, greeting, pkt
from tests.support.repositories import feed_history
from tests.support.server import Server

Form = Callable[[str], Path]
CLEANUP_TIMEOUT = 10.0


@pytest.fixture
def pack(newest_git: Git, lively: Path, tmp_path: Path) -> tuple[bytes, bytes]:
    """A tip that the repository lacks, and the thin pack that brings it."""
    clone = tmp_path / "clone.git"
    newest_git.run("clone", "-q", "--bare", f"file://{lively}", clone)
    shape = HistoryShape(commits=8, files=4, lines=30, tag_every=0)
    feed_history(newest_git, clone, 300, shape, "refs/heads/main")
    old = newest_git.text("rev-parse", "main", cwd=lively)
    made = newest_git.run(
        "pack-objects", "--revs", "--thin", "--stdout", "-q", "--delta-base-offset",
        cwd=clone, stdin=f"main\n^{old}\n".encode(),
    )  # fmt: skip
    return newest_git.text("rev-parse", "main", cwd=clone).encode(), made.stdout


def test_a_push_on_what_was_deleted_and_pruned_meanwhile(
    newest_git: Git, server: Server, lively: Path, tmp_path: Path
) -> None:
    """The client was told of a branch, and builds on it; it is gone when the pack comes."""
    git, clone = newest_git, tmp_path / "clone.git"
    gone = git.text("commit-tree", "-m", "gone", "-p", "main", "main~3^{tree}", cwd=lively)
    git.run("branch", "gone", gone, cwd=lively)
    git.run("clone", "-q", "--bare", f"file://{lively}", clone)
    tip = git.text("commit-tree", "-m", "on it", "-p", gone, "main^{tree}", cwd=clone)
    ids = f"{tip}\n".encode()
    pack = git.run("pack-objects", "--stdout", "-q", cwd=clone, stdin=ids).stdout
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-receive-pack", path_of(server, lively)))
        assert any(b"refs/heads/gone" in line for line in raw.section())
        git.run("branch", "-D", "gone", cwd=lively)
        git.run("gc", "-q", "--prune=now", cwd=lively)
        command = b"%b %b refs/heads/new\0report-status\n" % (ZERO, tip.encode())
        raw.send(pkt(command), FLUSH, pack)
        raw.say_no_more()
        assert raw.section() == [b"unpack ok\n", b"ng refs/heads/new missing necessary objects\n"]
    assert_sound(git, lively)


def object_files(repository: Path) -> set[str]:
    folder = repository / "objects"
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def unchanged(newest_git: Git, lively: Path, server: Server) -> Iterator[None]:
    """Afterwards the repository is as it was, to the file, and still served."""
    before = (refs(newest_git, lively), object_files(lively))
    yield
    # A quarantine may be on its way out when the connection is closed already.
    deadline = time.monotonic() + CLEANUP_TIMEOUT
    while object_files(lively) != before[1] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (refs(newest_git, lively), object_files(lively)) == before
    assert_sound(newest_git, lively)
    assert_still_serves(server, lively)


def test_the_pack_is_good_as_it_is(
    server: Server, lively: Path, pack: tuple[bytes, bytes], newest_git: Git
) -> None:
    """So that what follows fails for the reason it is meant to fail for."""
    tip, content = pack
    assert push(server, lively, [create(tip)], content) == [
        b"unpack ok\n",
        b"ok refs/heads/pushed\n",
    ]
    assert refs(newest_git, lively)["refs/heads/pushed"].encode() == tip
    assert_sound(newest_git, lively)


def assert_not_accepted(report: list[bytes]) -> None:
    assert not any(line.startswith(b"ok ") for line in report), report
    assert b"unpack ok\n" not in report or any(line.startswith(b"ng ") for line in report), report


@pytest.mark.usefixtures("unchanged")
def test_pack_cut_anywhere(server: Server, lively: Path, pack: tuple[bytes, bytes]) -> None:
    tip, content = pack
    rng = random.Random(1)
    cuts = {0, 1, 3, 4, 8, 11, 12, 13, 14, len(content) - 21, len(content) - 20, len(content) - 1}
    cuts |= {rng.randrange(len(content)) for _ in range(80)}
    for cut in sorted(cuts):
        assert_not_accepted(push(server, lively, [create(tip)], content[:cut]))


@pytest.mark.usefixtures("unchanged")
def test_pack_with_a_wrong_byte_anywhere(
    server: Server, lively: Path, pack: tuple[bytes, bytes]
) -> None:
    tip, content = pack
    rng = random.Random(2)
    places = set(range(20)) | {rng.randrange(len(content)) for _ in range(120)}
    for place in sorted(places):
        broken = bytearray(content)
        broken[place] ^= 1 << rng.randrange(8)
        assert_not_accepted(push(server, lively, [create(tip)], bytes(broken)))


@pytest.mark.usefixtures("unchanged")
def test_wrong_byte_under_a_right_trailer(
    server: Server, lively: Path, pack: tuple[bytes, bytes]
) -> None:
    """The checksum does not save us here: the objects themselves must be found wanting."""
    tip, content = pack
    rng = random.Random(3)
    for _ in range(60):
        broken = bytearray(content[:-20])
        broken[rng.randrange(12, len(broken))] ^= 1 << rng.randrange(8)
        broken += hashlib.sha1(broken).digest()
        assert_not_accepted(push(server, lively, [create(tip)], bytes(broken)))


HOSTILE_PACKS = {
    "nothing": b"",
    "not a pack": b"KCAP" + bytes(60),
    "version 9": with_trailer(b"PACK\0\0\0\x09\0\0\0\0"),
    "claims four billion objects": with_trailer(b"PACK\0\0\0\x02\xff\xff\xff\xff"),
    "claims one and has none": with_trailer(b"PACK\0\0\0\x02\0\0\0\x01"),
    "type 0": with_trailer(b"PACK\0\0\0\x02\0\0\0\x01\x05" + b"x\x9c\x03\0\0\0\0\x01"),
    "type 5": with_trailer(b"PACK\0\0\0\x02\0\0\0\x01\x50" + b"x\x9c\x03\0\0\0\0\x01"),
    "a size without end": with_trailer(b"PACK\0\0\0\x02\0\0\0\x01" + b"\xb0" + b"\xff" * 200),
    "a blob of exabytes": with_trailer(
        b"PACK\0\0\0\x02\0\0\0\x01" + b"\xbf" + b"\xff" * 7 + b"\x7f" + b"x\x9c\x03\0\0\0\0\x01"
    ),
    "delta of itself": with_trailer(b"PACK\0\0\0\x02\0\0\0\x01\x60\x00x\x9c\x03\0\0\0\0\x01"),
    "delta before the pack": with_trailer(
        b"PACK\0\0\0\x02\0\0\0\x01\x60\xff\xff\xff\x7fx\x9c\x03\0\0\0\0\x01"
    ),
    "delta of nobody": with_trailer(
        b"PACK\0\0\0\x02\0\0\0\x01\x70" + b"\x11" * 20 + b"x\x9c\x03\0\0\0\0\x01"
    ),
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("content", HOSTILE_PACKS.values(), ids=HOSTILE_PACKS.keys())
def test_hostile_pack(
    server: Server, lively: Path, pack: tuple[bytes, bytes], content: bytes
) -> None:
    assert_not_accepted(push(server, lively, [create(pack[0])], content))


@pytest.mark.usefixtures("unchanged")
def test_pack_without_what_the_tip_needs(
    server: Server, lively: Path, pack: tuple[bytes, bytes]
) -> None:
    empty_pack = with_trailer(b"PACK\0\0\0\x02\0\0\0\0")
    report = push(server, lively, [create(pack[0])], empty_pack)
    assert report[0] == b"unpack ok\n"
    assert report[1].startswith(b"ng refs/heads/pushed ")


BAD_NAMES = [
    b"refs/heads/../../config",
    b"refs/heads/a..b",
    b"refs/heads/.hidden",
    b"refs/heads/x.lock",
    b"refs/heads/x.lock/y",
    b"refs/heads/x\x01y",
    b"refs/heads/x y",
    b"refs/heads/x~1",
    b"refs/heads/x^",
    b"refs/heads/x:y",
    b"refs/heads/x?",
    b"refs/heads/x*",
    b"refs/heads/x[",
    b"refs/heads/x\\y",
    b"refs/heads/x//y",
    b"refs/heads/x/",
    b"refs/heads/x.",
    b"refs/heads/x@{1}",
    b"refs/heads/",
    b"/refs/heads/x",
    b"HEAD",
    b"FETCH_HEAD",
    b"config",
    b"objects/info/alternates",
    b"../outside.git/refs/heads/x",
    b"refs/heads/" + b"x" * 300,
    b"refs/heads/" + b"/".join([b"x" * 200] * 30),
]


@pytest.mark.usefixtures("unchanged")
def test_ref_names_that_are_none(server: Server, lively: Path, newest_git: Git) -> None:
    tip = refs(newest_git, lively)["refs/heads/main"].encode()
    empty_pack = with_trailer(b"PACK\0\0\0\x02\0\0\0\0")
    for name in BAD_NAMES:
        assert_not_accepted(push(server, lively, [create(tip, name)], empty_pack))


COMMANDS = {
    "words": [b"hello"],
    "one id": [b"1" * 40 + b" refs/heads/x"],
    "ids too short": [b"1" * 39 + b" " + b"2" * 39 + b" refs/heads/x"],
    "ids not hexadecimal": [b"x" * 40 + b" " + b"y" * 40 + b" refs/heads/x"],
    "empty": [b""],
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("commands", COMMANDS.values(), ids=COMMANDS.keys())
def test_push_command(
    server: Server, lively: Path, pack: tuple[bytes, bytes], commands: list[bytes]
) -> None:
    assert_not_accepted(push(server, lively, commands, pack[1]))


@pytest.mark.usefixtures("unchanged")
def test_deleting_nothing(server: Server, lively: Path) -> None:
    push(server, lively, [ZERO + b" " + ZERO + b" refs/heads/x"], b"")


def test_same_ref_twice(
    server: Server, lively: Path, newest_git: Git, pack: tuple[bytes, bytes]
) -> None:
    tip, content = pack
    report = push(server, lively, [create(tip), create(tip)], content)
    assert sum(line.startswith(b"ok ") for line in report) <= 1
    assert refs(newest_git, lively).get("refs/heads/pushed", tip.decode()) == tip.decode()
    assert_sound(newest_git, lively)


def test_wrong_old_value(
    server: Server, lively: Path, newest_git: Git, pack: tuple[bytes, bytes]
) -> None:
    tip, content = pack
    before = refs(newest_git, lively)
    wrong = newest_git.text("rev-parse", "main~1", cwd=lively).encode()
    report = push(server, lively, [wrong + b" " + tip + b" refs/heads/main"], content)
    assert report[1].startswith(b"ng refs/heads/main ")
    assert refs(newest_git, lively) == before
    assert_sound(newest_git, lively)


@pytest.mark.usefixtures("unchanged")
def test_push_that_stops_before_the_pack(
    server: Server, lively: Path, pack: tuple[bytes, bytes]
) -> None:
    line = pkt(create(pack[0]) + b"\0report-status\n")
    for said in (b"", line[:50], line, line + FLUSH, FLUSH, line + line[:9]):
        with Raw.to(server) as raw:
            raw.send(greeting(b"git-receive-pack", path_of(server, lively)))
            raw.section()
            raw.send(said)
            raw.say_no_more()
            raw.rest()


@pytest.mark.ours
def test_alternates_are_asked_once_for_the_objects_of_all_commands(
    newest_git: Git, server: Server, lively: Path, tmp_path: Path
) -> None:
    """Each command that lacks something is looked at by itself; the program is not run for each."""
    other = tmp_path / "other.git"
    newest_git.run("init", "-q", "--bare", other)
    (lively / "objects/info").mkdir(exist_ok=True)
    (lively / "objects/info/alternates").write_text(f"{other}/objects\n")
    counting = tmp_path / "count"
    counting.write_text(f"#!/bin/sh\necho asked >>{tmp_path}/asked\n")
    counting.chmod(0o755)
    newest_git.run("config", "core.alternateRefsCommand", str(counting), cwd=lively)
    empty = newest_git.run("pack-objects", "--stdout", "-q", cwd=lively, stdin=b"").stdout
    commands = [create(b"%040x" % number, b"refs/heads/new%d" % number) for number in (1, 2, 3)]
    report = push(server, lively, commands, empty)
    assert report[1:] == [
        b"ng refs/heads/new%d missing necessary objects\n" % number for number in (1, 2, 3)
    ]
    # once for the advertisement, once for the push
    assert (tmp_path / "asked").read_text() == "asked\n" * 2
