"""Remembered packs: made once for many, over every road, in every process, and never wrong."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.gits import Git, assert_sound, object_ids
from tests.support.history import data
from tests.support.repositories import WHO, feed, new_bare
from tests.support.server import (
    HOST,
    Server,
    gitserve_programs,
    http_programs,
    running_server,
)

pytestmark = pytest.mark.ours

SIZE = 6 << 20
"""More than what is made for one client alone the first time."""

Serve = Callable[..., contextlib.AbstractContextManager[Server]]


def filled(git: Git, path: Path, *, blobs: int = 6, size: int = SIZE // 6) -> Path:
    """A repository whose objects are loose, so that a pack of them has to be made."""
    new_bare(git, path)
    return grown(git, path, 0, blobs, size)


def grown(git: Git, path: Path, seed: int, blobs: int, size: int) -> Path:
    random_ = random.Random(seed)
    parent = b"from refs/heads/main^0\n" if seed else b""
    stream = [b"commit refs/heads/main\n", *(b"%s %s\n" % (who, WHO) for who in ROLES)]
    stream += [data(b"Files\n"), parent]
    for nth in range(blobs):
        name = b"M 100644 inline file-%d-%d\n" % (seed, nth)
        stream.append(name + data(random_.randbytes(size)))
    stream.append(b"done\n")
    git.run("config", "fastimport.unpackLimit", "1000000", cwd=path)
    feed(git, path, b"".join(stream))
    return path


ROLES = (b"author", b"committer")


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return tmp_path / "packs"


@pytest.fixture
def repository(newest_git: Git, tmp_path: Path) -> Path:
    return filled(newest_git, tmp_path / "served" / "made.git")


@pytest.fixture
def serve(tmp_path: Path, packs: Path) -> Serve:
    """A server of its own over ``tmp_path/served``, with the cache."""
    count = 0

    @contextlib.contextmanager
    def start(
        *options: str, http: bool = False, cache: str | None = None, limited: bool = False
    ) -> Iterator[Server]:
        nonlocal count
        count += 1
        programs = http_programs() if http else gitserve_programs()
        if limited:  # files of half of a pack, as on a full disk
            script = f'ulimit -f {SIZE // 2 // 512}; exec "$@"'
            programs = replace(programs, daemon=("/bin/sh", "-c", script, "sh", *programs.daemon))
        chosen = f"--pack-cache={packs if cache is None else cache}"
        log = tmp_path / f"server-{count}.log"
        with running_server(
            programs, tmp_path / "served", log, ["--export-all", chosen, *options]
        ) as server:
            yield server
            server.assert_unharmed()

    return start


def url(server: Server, repository: Path, *, http: bool = False) -> str:
    return f"{'http' if http else 'git'}://{HOST}:{server.port}/{repository.name}"


def clone(git: Git, from_url: str, to: Path, *arguments: str, protocol: int = 2) -> Path:
    git.run("-c", f"protocol.version={protocol}", "clone", "-q", "--bare", *arguments, from_url, to)
    return to


def outcomes(server: Server, count: int) -> list[str]:
    """What became of so many requests, in no order."""
    deadline = time.monotonic() + 20
    text = ""
    while True:
        text += server.new_log()
        found = re.findall(r"\] pack (kept|followed|made|not remembered);", text)
        if len(found) >= count or time.monotonic() > deadline:
            assert len(found) == count, text
            return sorted(found)
        time.sleep(0.02)


@pytest.mark.parametrize("http", [False, True], ids=["git", "http"])
@pytest.mark.parametrize("workers", [1, 2])
def test_many_at_once_have_one_pack_made(
    newest_git: Git, repository: Path, serve: Serve, tmp_path: Path, workers: int, http: bool
) -> None:
    want = object_ids(newest_git, repository)
    with serve(f"--workers={workers}", http=http) as server:

        def one(nth: int) -> None:
            to = tmp_path / f"clone-{nth}.git"
            clone(newest_git, url(server, repository, http=http), to, protocol=2 * (nth % 2))
            assert_sound(newest_git, to)
            assert object_ids(newest_git, to) == want
            shutil.rmtree(to)

        one(8)  # what is asked for once more is kept, whoever is done first
        assert outcomes(server, 1) == ["made"]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(8)))
        found = outcomes(server, 8)
        assert found.count("made") == 1
        assert "not remembered" not in found
        one(8)
        assert outcomes(server, 1) == ["kept"]


def test_roads_and_versions_share(
    newest_git: Git, repository: Path, serve: Serve, tmp_path: Path, packs: Path
) -> None:
    with serve() as daemon, serve(http=True) as web:
        for nth in range(2):
            clone(newest_git, url(daemon, repository), tmp_path / f"a{nth}.git")
        assert outcomes(daemon, 2) == ["made", "made"], "the first time it is not kept"
        clone(newest_git, url(web, repository, http=True), tmp_path / "b.git", protocol=0)
        clone(newest_git, url(daemon, repository), tmp_path / "c.git", protocol=1)
        assert outcomes(web, 1) == outcomes(daemon, 1) == ["kept"]
        shown = newest_git.run(
            "clone", "--bare", "--progress", url(daemon, repository), tmp_path / "d.git"
        )
        count = len(object_ids(newest_git, repository))
        assert b"remote: Total %d (delta 0)" % count in shown.stderr
    assert packs.stat().st_mode & 0o777 == 0o700
    assert [path.suffix for path in packs.iterdir() if path.name != "seen"] == [".pack"]


def test_other_requests_get_other_packs(
    newest_git: Git, repository: Path, serve: Serve, tmp_path: Path
) -> None:
    grown(newest_git, repository, 1, 6, SIZE // 6)
    newest_git.run("tag", "-a", "-m", "tag", "v1", "main", cwd=repository)
    newest_git.run("config", "uploadpack.allowFilter", "true", cwd=repository)
    forms: tuple[list[str], ...] = (
        [],
        ["--depth=1"],
        ["--filter=blob:limit=2m"],
        ["--single-branch", "--no-tags"],
    )
    with serve() as server:
        want: list[list[str]] = []
        for turn in range(3):
            for nth, form in enumerate(forms):
                to = clone(
                    newest_git, url(server, repository), tmp_path / f"{turn}-{nth}.git", *form
                )
                newest_git.run("fsck", cwd=to)
                got = newest_git.run("cat-file", "--batch-all-objects", "--batch-check", cwd=to)
                listed = sorted(got.stdout.decode().splitlines())
                if turn == 0:
                    want.append(listed)
                assert listed == want[nth]
        assert outcomes(server, 12) == ["kept"] * 4 + ["made"] * 8
        # and what is pushed in between is there
        grown(newest_git, repository, 2, 1, 100)
        to = clone(newest_git, url(server, repository), tmp_path / "after.git")
        assert object_ids(newest_git, to) == object_ids(newest_git, repository)


def test_sha256(newest_git: Git, serve: Serve, tmp_path: Path) -> None:
    repository = tmp_path / "served" / "sha256.git"
    repository.parent.mkdir()
    newest_git.run("init", "-q", "--bare", "--object-format=sha256", "-b", "main", repository)
    grown(newest_git, repository, 0, 6, SIZE // 6)
    with serve() as server:
        for nth in range(3):
            to = clone(newest_git, url(server, repository), tmp_path / f"{nth}.git")
            assert_sound(newest_git, to)
            assert object_ids(newest_git, to) == object_ids(newest_git, repository)
        assert outcomes(server, 3) == ["kept", "made", "made"]


def request_lines(git: Git, repository: Path) -> bytes:
    """A clone in protocol v0, as it stands on the wire."""
    tip = git.run("rev-parse", "main", cwd=repository).stdout.strip()
    hello = b"git-upload-pack /%s\0host=x\0" % repository.name.encode()
    want = b"want %s ofs-delta side-band-64k thin-pack no-progress\n" % tip
    return b"".join(b"%04x%s" % (len(line) + 4, line) for line in (hello, want)) + b"00000009done\n"


@pytest.mark.parametrize("goes", [False, True], ids=["slow", "gone"])
def test_a_first_client_delays_nobody(
    newest_git: Git, serve: Serve, tmp_path: Path, goes: bool
) -> None:
    """It asks, then reads nothing, or goes away; the others have the pack it asked for."""
    repository = filled(newest_git, tmp_path / "served" / "large.git", blobs=24, size=1 << 20)
    with serve("--workers=2") as server:
        with socket.socket() as first:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            first.connect((HOST, server.port))
            first.sendall(request_lines(newest_git, repository))
            assert first.recv(1)
            # the same request, so that it has the same key
            others = [server.connect() for _ in range(3)]
            for other in others:
                other.sendall(request_lines(newest_git, repository))
            if goes:
                first.close()
            for other in others:
                pack = pack_of(other)
                check_pack(newest_git, repository, pack, tmp_path)
        wanted = 4 if goes else 3
        found = outcomes_at_least(server, wanted)
        assert goes or "not remembered" not in found


def outcomes_at_least(server: Server, count: int) -> list[str]:
    deadline = time.monotonic() + 20
    text = ""
    found: list[str] = []
    while len(found) < count and time.monotonic() < deadline:
        text += server.new_log()
        found = re.findall(r"\] pack (kept|followed|made|not remembered);", text)
        time.sleep(0.02)
    assert len(found) >= count, text
    return found


def pack_of(connection: socket.socket, pack: bytearray | None = None) -> bytes:
    """The data of band 1, behind whatever comes before it; it can be watched as it grows."""
    pack = bytearray() if pack is None else pack
    with connection, connection.makefile("rb") as stream:
        while head := stream.read(4):
            length = int(head, 16)
            if length < 4:
                continue
            payload = stream.read(length - 4)
            if payload[:1] == b"\1":
                pack += payload[1:]
    return bytes(pack)


def check_pack(git: Git, repository: Path, pack: bytes, tmp_path: Path) -> None:
    into = tmp_path / "judge.git"
    shutil.rmtree(into, ignore_errors=True)
    git.run("init", "-q", "--bare", into)
    subprocess.run(
        [git.path, "index-pack", "--stdin", "--strict"],
        cwd=into, input=pack, check=True, capture_output=True,
    )  # fmt: skip
    got = git.run("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", cwd=into)
    assert sorted(got.stdout.decode().split()) == sorted(object_ids(git, repository))


def test_a_killed_maker(newest_git: Git, serve: Serve, tmp_path: Path, packs: Path) -> None:
    """Whatever state it leaves the file in, nobody is served from it."""
    repository = filled(newest_git, tmp_path / "served" / "large.git", blobs=48, size=1 << 20)
    want = object_ids(newest_git, repository)
    for nth in range(3):
        with serve("--workers=1") as server:
            with server.connect() as first:
                first.sendall(request_lines(newest_git, repository))
                assert first.recv(1)
                wait_for(lambda: bool(list(packs.glob("*.tmp"))))
                time.sleep(0.02 * nth)
                for worker in workers_of(server):
                    os.kill(worker, signal.SIGKILL)
            to = clone(newest_git, url(server, repository), tmp_path / f"after-{nth}.git")
            assert object_ids(newest_git, to) == want
            wait_for(lambda: not list(packs.glob("*.tmp")))
            for pack in packs.glob("*.pack"):
                pack.unlink()


def workers_of(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(worker) for worker in children.read_text().split()]


def test_readers_outlive_the_maker(
    newest_git: Git, serve: Serve, tmp_path: Path, packs: Path
) -> None:
    """It is killed when they have half of the pack; they get the rest."""
    repository = filled(newest_git, tmp_path / "served" / "large.git", blobs=48, size=1 << 20)
    with serve("--workers=1") as makers, serve("--workers=1") as readers:
        with makers.connect() as first, ThreadPoolExecutor(3) as pool:
            first.sendall(request_lines(newest_git, repository))
            wait_for(lambda: any(file.stat().st_size > 1 << 20 for file in packs.glob("*.tmp")))
            for worker in workers_of(makers):
                os.kill(worker, signal.SIGSTOP)
            (half,) = packs.glob("*.tmp")
            assert half.stat().st_size < 40 << 20, "it was too fast"
            grown = [bytearray() for _ in range(3)]
            wanted = []
            for pack in grown:
                other = readers.connect()
                other.sendall(request_lines(newest_git, repository))
                wanted.append(pool.submit(pack_of, other, pack))
            wait_for(lambda: all(len(pack) > 1 << 19 for pack in grown))
            for worker in workers_of(makers):
                os.kill(worker, signal.SIGKILL)
            received = [future.result() for future in wanted]
        assert len(set(received)) == 1
        check_pack(newest_git, repository, received[0], tmp_path)
        assert sorted(outcomes(readers, 3)) == ["followed", "followed", "made"]


def test_a_disk_that_is_full_in_the_middle(
    newest_git: Git, repository: Path, serve: Serve, tmp_path: Path, packs: Path
) -> None:
    """The file of the pack cannot grow; who waits for the pack gets it."""
    with serve("--workers=1", limited=True) as server:
        for nth in range(3):
            to = clone(newest_git, url(server, repository), tmp_path / f"{nth}.git")
            assert object_ids(newest_git, to) == object_ids(newest_git, repository)
        assert outcomes(server, 3) == ["not remembered"] * 3
    assert [path.name for path in packs.iterdir()] == ["seen"]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_damaged_file_is_dropped(
    newest_git: Git, repository: Path, serve: Serve, tmp_path: Path, packs: Path
) -> None:
    def pack() -> Path:
        (found,) = packs.glob("*.pack")
        return found

    with serve("--workers=1") as server:
        address = url(server, repository)
        for nth in range(2):
            clone(newest_git, address, tmp_path / f"{nth}.git")
        for nth, damage in enumerate((200, pack().stat().st_size - 1, 60)):
            with pack().open("r+b") as file:
                file.seek(damage)
                byte = file.read(1)
                file.seek(damage)
                file.write(bytes([byte[0] ^ 1]))
            to = clone(newest_git, address, tmp_path / f"damaged-{nth}.git")
            assert_sound(newest_git, to)
            clone(newest_git, address, tmp_path / f"again-{nth}.git")
        os.truncate(pack(), 1000)
        clone(newest_git, address, tmp_path / "cut.git")
        outcomes(server, 9)


def test_the_bound_is_kept(newest_git: Git, serve: Serve, tmp_path: Path, packs: Path) -> None:
    for nth in range(4):
        filled(newest_git, tmp_path / "served" / f"{nth}.git")
    with serve("--pack-cache-size=14") as server:
        for nth in (0, 0, 1, 1, 2, 2, 3, 3):
            to = tmp_path / "clone.git"
            clone(newest_git, f"git://{HOST}:{server.port}/{nth}.git", to)
            shutil.rmtree(to)
            taken = sum(path.stat().st_blocks * 512 for path in packs.iterdir())
            assert taken <= 15 << 20
        assert len(list(packs.glob("*.pack"))) == 2
    with serve("--pack-cache-size=1") as server:
        wait_for(lambda: not list(packs.glob("*.pack")))
        for nth in range(2):
            clone(newest_git, f"git://{HOST}:{server.port}/3.git", tmp_path / f"{nth}.git")
        assert outcomes(server, 2) == ["not remembered"] * 2


def test_small_and_copied_packs_are_not_kept(
    newest_git: Git, repository: Path, serve: Serve, tmp_path: Path, packs: Path
) -> None:
    small = filled(newest_git, tmp_path / "served" / "small.git", blobs=1, size=100)
    newest_git.run("repack", "-adq", cwd=repository)
    with serve("--workers=1") as server:
        for path in (small, repository):
            for _ in range(3):
                to = clone(newest_git, url(server, path), tmp_path / "clone.git")
                assert object_ids(newest_git, to) == object_ids(newest_git, path)
                shutil.rmtree(to)
        assert outcomes(server, 6) == ["not remembered"] * 6
    assert [path.name for path in packs.iterdir()] == ["seen"]


def test_off(newest_git: Git, repository: Path, serve: Serve, tmp_path: Path, packs: Path) -> None:
    with serve(cache="off") as server:
        for nth in range(2):
            clone(newest_git, url(server, repository), tmp_path / f"{nth}.git")
        assert "remembered" not in server.new_log()
    assert not packs.exists()


def test_a_folder_open_to_others_is_refused(tmp_path: Path, packs: Path) -> None:
    packs.mkdir(mode=0o755)
    command = [*gitserve_programs().daemon, "--listen=127.0.0.1", "--port=0"]
    done = subprocess.run(
        [*command, f"--pack-cache={packs}", tmp_path], capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 128
    assert b"closed to others" in done.stderr
