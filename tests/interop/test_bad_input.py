"""Peers that are broken or mean no good: a clear answer, a closed connection, nothing harmed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.by_hand import (
    assert_refusal,
    assert_still_serves,
    path_of,
    refs_of,
)
from tests.support.client import Client
from tests.support.gits import Git, refs
from tests.support.raw import DELIM, FLUSH, Raw, greeting, pkt
from tests.support.server import Programs, Server, running_server

Form = Callable[[str], Path]


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
