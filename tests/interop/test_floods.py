"""Too much of everything: of lines, of silence, of depth, of zeros. Bounded time and memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.by_hand import (
    assert_still_serves,
    create,
    path_of,
    push,
    refs_of,
    with_trailer,
)
from tests.support.client import Client
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.raw import DELIM, FLUSH, Raw, greeting, pkt
from tests.support.repositories import empty, feed_history
from tests.support.server import Programs, Server, running_server

Form = Callable[[str], Path]
MEGABYTE = 1 << 20
ROOM = 256 * MEGABYTE
"""What a flood may cost all processes of the daemon together, beyond what they had."""


def anonymous_memory(server: Server) -> int:
    """Of the daemon and everything below it, in bytes."""
    total, waiting = 0, [server.process.pid]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                waiting += map(int, children.split())
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1]) * 1024
    return total


@contextlib.contextmanager
def bounded_memory(server: Server) -> Iterator[None]:
    """Fails when the daemon grows by more than :data:`ROOM` meanwhile."""
    before, peak, over = anonymous_memory(server), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, anonymous_memory(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert peak - before < ROOM, f"grew by {(peak - before) // MEGABYTE} MB"


MANY = 100_000
SOME_ID = b"1234567890" * 4

FLOODS_V2 = {
    "prefixes": (b"ls-refs", [b"ref-prefix refs/heads/%d" % n for n in range(MANY)]),
    "the same want": (b"fetch", [b"want TIP"] * MANY + [b"done"]),
    "unknown haves": (b"fetch", [b"want TIP", *(b"have %040x" % n for n in range(MANY))]),
    "the same have": (b"fetch", [b"want TIP", *([b"have TIP"] * MANY), b"done"]),
    "shallow lines": (
        b"fetch",
        [b"want TIP", *(b"shallow %040x" % n for n in range(MANY)), b"deepen 1", b"done"],
    ),
    "refs not to deepen to": (
        b"fetch",
        [b"want TIP", *([b"deepen-not refs/heads/topic"] * MANY), b"done"],
    ),
}


@pytest.mark.parametrize("name", FLOODS_V2)
def test_flood_of_arguments(server: Server, form: Form, name: str) -> None:
    repository = form("lively")
    tip = refs_of(server, repository)[b"HEAD"]
    command, arguments = FLOODS_V2[name]
    lines = b"".join(pkt(line.replace(b"TIP", tip) + b"\n") for line in arguments)
    with bounded_memory(server), Raw.to(server, timeout=60) as raw:
        raw.send(greeting(b"git-upload-pack", path_of(server, repository), b"version=2"))
        raw.section()
        raw.send(pkt(b"command=" + command + b"\n"), DELIM, lines, FLUSH)
        raw.say_no_more()
        assert raw.rest(), "an answer or a refusal, not silence"
    assert_still_serves(server, repository)


def test_flood_of_wants_in_v0(server: Server, form: Form) -> None:
    repository = form("lively")
    tip = refs_of(server, repository)[b"HEAD"]
    with bounded_memory(server), Raw.to(server, timeout=60) as raw:
        raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
        raw.section()
        raw.send(pkt(b"want " + tip + b" side-band-64k\n"), pkt(b"want " + tip + b"\n") * MANY)
        raw.send(FLUSH, pkt(b"done\n"))
        raw.say_no_more()
        assert raw.rest()
    assert_still_serves(server, repository)


def test_flood_of_push_commands(server: Server, lively: Path, newest_git: Git) -> None:
    tip = refs(newest_git, lively)["refs/heads/main"].encode()
    before = refs(newest_git, lively)
    commands = [create(tip, b"refs/heads/main/%d" % n) for n in range(20_000)]
    with bounded_memory(server):
        report = push(server, lively, commands, with_trailer(b"PACK\0\0\0\x02\0\0\0\0"))
    assert not any(line.startswith(b"ok ") for line in report)
    assert refs(newest_git, lively) == before
    assert_still_serves(server, lively)


def test_a_byte_now_and_then(programs: Programs, base: Path, form: Form, tmp_path: Path) -> None:
    """The first packet must arrive within its time as a whole, not byte by byte."""
    repository = form("lively")
    options = ["--export-all", "--init-timeout=2"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        whole = greeting(b"git-upload-pack", path_of(server, repository))
        with Raw.to(server) as raw:
            raw.connection.settimeout(0.4)
            for number in range(len(whole)):
                raw.send(whole[number : number + 1])
                try:
                    raw.connection.recv(1000)
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    pass
                break
            else:
                raise AssertionError("the server waited for every byte")
        assert number < len(whole) // 2
        assert_still_serves(server, repository)


@pytest.fixture
def heavy(newest_git: Git, served: Path) -> Path:
    """More bytes than the sockets between server and client can hold."""
    repository = served / "heavy.git"
    newest_git.run("init", "-q", "--bare", repository)
    shape = HistoryShape(commits=300, files=900, lines=250)
    feed_history(newest_git, repository, 800, shape)
    return repository


def test_clients_that_never_read(
    programs: Programs, base: Path, heavy: Path, tmp_path: Path, newest_git: Git
) -> None:
    options = ["--export-all", "--timeout=5"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        tip = refs_of(server, heavy)[b"HEAD"]
        stuck = []
        for _ in range(24):
            raw = Raw.to(server)
            raw.send(greeting(b"git-upload-pack", path_of(server, heavy)))
            raw.section()
            raw.send(pkt(b"want " + tip + b" side-band-64k ofs-delta\n"), FLUSH, pkt(b"done\n"))
            stuck.append(raw)
        clone = tmp_path / "clone.git"
        client = Client(newest_git, 2, "daemon", programs, server)
        client.clone(heavy, clone, "--bare")
        assert object_ids(newest_git, clone) == object_ids(newest_git, heavy)
        for raw in stuck:
            raw.connection.close()
        server.assert_unharmed()


def entry(kind: int, size: int, body: bytes, offset: bytes = b"") -> bytes:
    """One entry of a pack."""
    first, size = kind << 4 | size & 15, size >> 4
    head = bytearray()
    while size:
        head.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    head.append(first)
    return bytes(head) + offset + zlib.compress(body, 9)


def varint(value: int) -> bytes:
    """A size in a delta."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def ofs(distance: int) -> bytes:
    """The distance to the base of an ofs-delta."""
    out = [distance & 0x7F]
    distance >>= 7
    while distance:
        distance -= 1
        out.append(distance & 0x7F | 0x80)
        distance >>= 7
    return bytes(reversed(out))


def chain(length: int) -> tuple[bytes, bytes]:
    """A pack with a delta chain, each link one byte longer, and the id of the last blob."""
    content = b"0123456789"
    entries = [entry(3, len(content), content)]
    for _ in range(length):
        grown = content + b"x"
        size = len(content)
        copy = bytes([0x80 | 0x10 | 0x20, size & 255, size >> 8])
        delta = varint(size) + varint(size + 1) + copy + b"\x01x"
        entries.append(entry(6, len(delta), delta, ofs(len(entries[-1]))))
        content = grown
    body = b"PACK\0\0\0\x02" + len(entries).to_bytes(4) + b"".join(entries)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest().encode()
    return with_trailer(body), blob


@pytest.mark.parametrize("length", [40, 20_000])
def test_chain_of_deltas(
    server: Server, served: Path, newest_git: Git, tmp_path: Path, length: int
) -> None:
    """A chain of any length is taken or refused; what was taken can be read and sent again."""
    repository = served / "chain.git"
    empty(newest_git, repository)
    pack, blob = chain(length)
    with bounded_memory(server):
        report = push(server, repository, [create(blob, b"refs/tags/blob")], pack)
    taken = b"ok refs/tags/blob\n" in report
    assert taken or length > 50, report
    assert_sound(newest_git, repository)
    assert ("refs/tags/blob" in refs(newest_git, repository)) == taken
    if taken:
        clone = tmp_path / "clone.git"
        newest_git.run("clone", "-q", "--mirror", server.url(repository), clone)
        assert object_ids(newest_git, clone) == [blob.decode()]


@pytest.mark.ours
def test_zeros_cost_no_memory(server: Server, served: Path, newest_git: Git) -> None:
    """A few hundred kilobytes that inflate to a thousand times as much."""
    repository = served / "zeros.git"
    empty(newest_git, repository)
    size = 400 * MEGABYTE
    packer = zlib.compressobj(9)
    name = hashlib.sha1(b"blob %d\0" % size)
    piece = bytes(MEGABYTE)
    stream = []
    for _ in range(size // MEGABYTE):
        stream.append(packer.compress(piece))
        name.update(piece)
    stream.append(packer.flush())
    head = entry(3, size, b"")[: -len(zlib.compress(b"", 9))]
    body = b"PACK\0\0\0\x02\0\0\0\x01" + head + b"".join(stream)
    blob = name.hexdigest().encode()
    with bounded_memory(server):
        report = push(server, repository, [create(blob, b"refs/tags/zeros")], with_trailer(body))
        assert report == [b"unpack ok\n", b"ok refs/tags/zeros\n"]
    shutil.rmtree(repository)


def test_many_connections_that_say_nothing(
    programs: Programs, base: Path, form: Form, tmp_path: Path
) -> None:
    repository = form("lively")
    options = ["--export-all", "--max-connections=0", "--init-timeout=60"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(Raw.to(server))
            assert_still_serves(server, repository)
        server.assert_unharmed()
