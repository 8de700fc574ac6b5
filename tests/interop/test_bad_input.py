"""Peers that are broken or mean no good: a clear answer, a closed connection, nothing harmed."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.gits import Git, assert_sound, refs
from tests.support.history import HistoryShape
from tests.support.raw import DELIM, FLUSH, Raw, greeting, pkt
from tests.support.repositories import feed_history
from tests.support.server import Programs, Server, running_server

Form = Callable[[str], Path]
ZERO = b"0" * 40
CLEANUP_TIMEOUT = 10.0


def path_of(server: Server, repository: Path) -> bytes:
    return b"/" + str(repository.relative_to(server.base)).encode()


def assert_refusal(answer: bytes) -> None:
    """An ``ERR`` packet or nothing at all; never a word about our insides."""
    assert b"Traceback" not in answer
    assert b".py" not in answer
    assert b".rs" not in answer
    if answer:
        assert answer[4:8] == b"ERR ", answer[:200]


def assert_still_serves(server: Server, repository: Path) -> None:
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
        lines = raw.section()
        raw.send(FLUSH)
    assert lines
    assert b"HEAD" in lines[0]


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"0",
        b"000",
        b"0000",
        b"0001",
        b"0002",
        b"0003",
        b"0004",
        b"zzzz",
        b"-001",
        b"+005a",
        b" 10 abc",
        b"0x10abcdefghijkl",
        b"fff0" + b"a" * 100,
        b"ffff" + b"a" * 65531,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(1000),
        pkt(b""),
        pkt(b"\n"),
        pkt(b"git-upload-pack"),
        pkt(b"git-upload-pack\0"),
        pkt(b"git-upload-pack \0host=x\0"),
        pkt(b"git-upload-pack / \0"),
        pkt(b"rm -rf /\0host=x\0"),
        pkt(b"git-frobnicate /x\0host=x\0"),
        pkt(b"git-upload-pack /x\0host=" + b"h" * 60000),
        pkt(b"git-upload-pack /" + b"x" * 65000 + b"\0"),
        pkt(b"git-upload-pack /x\0host=a\0\0version=99999999999999999999\0"),
    ],
    ids=lambda first: repr(first[:24]),
)
def test_first_packet(server: Server, form: Form, first: bytes) -> None:
    with Raw.to(server) as raw:
        raw.send(first)
        raw.say_no_more()
        assert_refusal(raw.rest())
    assert_still_serves(server, form("lively"))


@pytest.mark.parametrize(
    "path",
    [
        b"/../../../../etc",
        b"/forms/../../outside.git",
        b"/forms/lively/../../../outside.git",
        b"..",
        b"../outside.git",
        b"/forms/lively/../lively/..",
        b"/./../outside.git",
        b"//etc/passwd",
        b"/%2e%2e/outside.git",
        b"~root/outside.git",
        b"/~/outside.git",
        b"-uhelp",
        b"/-c",
        b"/forms/nothing-here",
        b"/forms/lively/objects",
        b"/forms/lively/refs/heads/main",
        b"/forms/climber",
        b"/forms/li\nvely",
        b"/forms/\xff\xfe",
    ],
    ids=repr,
)
def test_paths_that_lead_nowhere(server: Server, form: Form, newest_git: Git, path: bytes) -> None:
    outside = server.base.parent / "outside.git"
    if not outside.exists():
        newest_git.run("clone", "-q", "--bare", f"file://{form('lively')}", outside)
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-upload-pack", path))
        raw.say_no_more()
        answer = raw.rest()
    assert_refusal(answer)
    assert b"refs/heads" not in answer.replace(path, b"")
    assert str(server.base).encode() not in answer


def test_refusals_look_alike(server: Server, form: Form) -> None:
    """Whether a path is outside, missing or no repository is not for strangers to learn."""
    form("lively")
    answers = set()
    for path in (b"/forms/absent1", b"/../absent12", b"/forms/lively/objs"):
        with Raw.to(server) as raw:
            raw.send(greeting(b"git-upload-pack", path))
            raw.say_no_more()
            answers.add(raw.rest().replace(path, b"PATH")[4:])
    assert len(answers) == 1, answers


@pytest.mark.parametrize("size", range(1, 12))
def test_cut_in_the_first_packet(server: Server, form: Form, size: int) -> None:
    whole = greeting(b"git-upload-pack", path_of(server, form("lively")))
    with Raw.to(server) as raw:
        raw.send(whole[: size * len(whole) // 12])
        raw.say_no_more()
        assert_refusal(raw.rest())


UPLOAD_V0 = {
    "unknown want": pkt(b"want " + b"1" * 40 + b"\n") + FLUSH + pkt(b"done\n"),
    "want without id": pkt(b"want \n") + FLUSH,
    "want with a bad id": pkt(b"want " + b"g" * 40 + b"\n") + FLUSH,
    "want with a short id": pkt(b"want 1234\n") + FLUSH,
    "a word that is none": pkt(b"desire " + b"1" * 40 + b"\n") + FLUSH,
    "have before want": pkt(b"have " + b"1" * 40 + b"\n") + FLUSH,
    "delimiter": DELIM,
    "length 3": b"0003",
    "not hexadecimal": b"00zz",
    "beyond the longest": b"fff5" + bytes(70000),
    "cut in a packet": b"0032want 123",
    "depth of words": pkt(b"deepen lots\n") + FLUSH,
    "depth below nothing": pkt(b"deepen -1\n") + FLUSH,
    "depth beyond numbers": pkt(b"deepen 99999999999999999999999\n") + FLUSH,
    "shallow without id": pkt(b"shallow \n") + FLUSH,
    "filter of nonsense": pkt(b"filter blob:nothing\n") + FLUSH,
}


@pytest.mark.parametrize("request_bytes", UPLOAD_V0.values(), ids=UPLOAD_V0.keys())
def test_upload_request(server: Server, form: Form, request_bytes: bytes) -> None:
    repository = form("lively")
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
        raw.section()
        raw.send(request_bytes)
        raw.say_no_more()
        answer = raw.rest()
    assert_refusal(answer)
    assert b"PACK" not in answer
    assert_still_serves(server, repository)


def test_unknown_want_is_called_by_name(server: Server, form: Form) -> None:
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-upload-pack", path_of(server, form("lively"))))
        raw.section()
        raw.send(UPLOAD_V0["unknown want"])
        raw.say_no_more()
        assert raw.rest()[4:].rstrip() == b"ERR upload-pack: not our ref " + b"1" * 40


def command(name: bytes, *arguments: bytes) -> bytes:
    lines = b"".join(pkt(argument + b"\n") for argument in arguments)
    return pkt(b"command=" + name + b"\n") + pkt(b"object-format=sha1\n") + DELIM + lines + FLUSH


UPLOAD_V2 = {
    "unknown command": command(b"launch"),
    "no command": pkt(b"agent=x\n") + FLUSH,
    "two commands": pkt(b"command=ls-refs\n") + pkt(b"command=fetch\n") + FLUSH,
    "unknown capability": pkt(b"command=ls-refs\n") + pkt(b"frob=1\n") + FLUSH,
    "other object format": pkt(b"command=ls-refs\n") + pkt(b"object-format=sha256\n") + FLUSH,
    "unknown argument of fetch": command(b"fetch", b"frobnicate"),
    "unknown want": command(b"fetch", b"want " + b"1" * 40, b"done"),
    "bad want": command(b"fetch", b"want xyz", b"done"),
    "delimiter first": DELIM,
    "response end": b"0002",
    "length 3": b"0003",
    "not hexadecimal": b"----",
    "cut in the arguments": command(b"fetch", b"want " + b"1" * 40)[:-20],
    "deepen and since": command(b"fetch", b"deepen 1", b"deepen-since 1", b"done"),
}


@pytest.mark.parametrize("request_bytes", UPLOAD_V2.values(), ids=UPLOAD_V2.keys())
def test_upload_request_v2(server: Server, form: Form, request_bytes: bytes) -> None:
    repository = form("lively")
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-upload-pack", path_of(server, repository), b"version=2"))
        assert raw.section()[0] == b"version 2\n"
        raw.send(request_bytes)
        raw.say_no_more()
        answer = raw.rest()
    assert b"PACK" not in answer
    assert b"Traceback" not in answer
    assert answer in (b"", FLUSH) or b"ERR " in answer[:8], answer[:200]
    assert_still_serves(server, repository)


def test_client_that_vanishes(server: Server, form: Form) -> None:
    """In every phase of a clone, politely and not."""
    repository = form("lively")
    tip = refs_of(server, repository)[b"HEAD"]
    wants = pkt(b"want " + tip + b" side-band-64k ofs-delta\n") + FLUSH + pkt(b"done\n")
    for phase in range(4):
        for rude in (False, True):
            raw = Raw.to(server)
            if phase > 0:
                raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
            if phase > 1:
                raw.section()
            if phase > 2:
                raw.send(wants)
                raw.exactly(100)
            if rude:
                raw.reset()
            else:
                raw.connection.close()
    assert_still_serves(server, repository)


def refs_of(
    server: Server, repository: Path, service: bytes = b"git-upload-pack"
) -> dict[bytes, bytes]:
    with Raw.to(server) as raw:
        raw.send(greeting(service, path_of(server, repository)))
        lines = raw.section()
        raw.send(FLUSH)
    pairs = [line.split(b"\0")[0].rstrip(b"\n").split(b" ") for line in lines]
    return {name: value for value, name in pairs}


# --- pushes ------------------------------------------------------------------


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


def push(server: Server, repository: Path, commands: list[bytes], pack: bytes) -> list[bytes]:
    """What the server reports, line by line; nothing when it hung up."""
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-receive-pack", path_of(server, repository)))
        raw.section()
        first, *others = commands
        raw.send(pkt(first + b"\0report-status delete-refs ofs-delta\n"))
        raw.send(*(pkt(line + b"\n") for line in others), FLUSH, pack)
        raw.say_no_more()
        report = raw.section()
        raw.rest()
        return report


def test_unreadable_refs_are_told_in_general_and_logged_in_detail(
    server: Server, lively: Path
) -> None:
    (lively / "packed-refs").write_text("no line of refs\n")
    for service in (b"git-upload-pack", b"git-receive-pack"):
        for extra in (b"", b"version=2"):
            with Raw.to(server) as raw:
                raw.send(greeting(service, path_of(server, lively), extra))
                said = b"ERR the repository is damaged or unreadable on the server"
                assert (raw.packet() or b"").rstrip() == said
                assert raw.rest() == b""
    assert server.new_log().count("packed-refs:1: unexpected line") == 4


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


def create(tip: bytes, name: bytes = b"refs/heads/pushed") -> bytes:
    return ZERO + b" " + tip + b" " + name


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


def with_trailer(body: bytes) -> bytes:
    return body + hashlib.sha1(body).digest()


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


# --- the service as a whole ---------------------------------------------------


def test_push_is_off_by_default(programs: Programs, base: Path, form: Form, tmp_path: Path) -> None:
    repository = form("lively")
    with running_server(programs, base, tmp_path / "log", ["--export-all"]) as server:
        with Raw.to(server) as raw:
            raw.send(greeting(b"git-receive-pack", path_of(server, repository)))
            raw.say_no_more()
            assert_refusal(raw.rest())
        assert_still_serves(server, repository)


def test_only_exported_repositories(
    programs: Programs, base: Path, served: Path, form: Form, newest_git: Git, tmp_path: Path
) -> None:
    secret = served / "secret.git"
    newest_git.run("clone", "-q", "--bare", f"file://{form('lively')}", secret)
    with running_server(programs, base, tmp_path / "log") as server:
        with Raw.to(server) as raw:
            raw.send(greeting(b"git-upload-pack", path_of(server, secret)))
            raw.say_no_more()
            assert_refusal(raw.rest())
        (secret / "git-daemon-export-ok").touch()
        assert_still_serves(server, secret)


def test_idle_connections_end_and_block_nobody(
    programs: Programs, base: Path, form: Form, tmp_path: Path
) -> None:
    repository = form("lively")
    options = ["--export-all", "--init-timeout=2", "--timeout=2"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        silent = [Raw.to(server) for _ in range(60)]
        stuck = Raw.to(server)
        stuck.send(greeting(b"git-upload-pack", path_of(server, repository)))
        stuck.section()
        assert_still_serves(server, repository)
        for raw in silent:
            assert_refusal(raw.rest())
            raw.connection.close()
        stuck.rest()
        stuck.connection.close()
        server.assert_unharmed()


@pytest.mark.ours
@pytest.mark.parametrize("damage", ["idx", "pack", "loose"])
def test_corrupt_repository_is_named_in_the_log_only(
    client_v2: Client, served: Path, form: Form, tmp_path: Path, damage: str
) -> None:
    repository = served / "damaged.git"
    shutil.copytree(form("unpacked" if damage == "loose" else "lively"), repository)
    if damage == "loose":
        tip = refs(client_v2.git, repository)["refs/heads/main"]
        victim = repository / "objects" / tip[:2] / tip[2:]
    else:
        victim = next((repository / "objects/pack").glob(f"*.{damage}"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
    client_v2.server.new_log()
    done = client_v2.clone(repository, tmp_path / "clone", check=False)
    assert done.returncode != 0
    assert victim.name.encode() not in done.stderr.replace(str(tmp_path).encode(), b"")
    assert victim.name in client_v2.server.new_log()


@pytest.fixture
def client_v2(newest_git: Git, programs: Programs, server: Server) -> Client:
    return Client(newest_git, 2, "daemon", programs, server)


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
