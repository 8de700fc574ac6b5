"""What a test says to a daemon by hand, packet by packet, and what it makes of the answer."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.raw import FLUSH, Raw, greeting, pkt
from tests.support.server import Server

ZERO = b"0" * 40


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


def refs_of(
    server: Server, repository: Path, service: bytes = b"git-upload-pack"
) -> dict[bytes, bytes]:
    with Raw.to(server) as raw:
        raw.send(greeting(service, path_of(server, repository)))
        lines = raw.section()
        raw.send(FLUSH)
    pairs = [line.split(b"\0")[0].rstrip(b"\n").split(b" ") for line in lines]
    return {name: value for value, name in pairs}


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


def create(tip: bytes, name: bytes = b"refs/heads/pushed") -> bytes:
    return ZERO + b" " + tip + b" " + name


def with_trailer(body: bytes) -> bytes:
    return body + hashlib.sha1(body).digest()
