"""Objects that a client gets from elsewhere: ``packfile-uris`` in protocol v2, beside git's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gits import Git, assert_sound, object_ids
from tests.support.raw import DELIM, FLUSH, pkt
from tests.support.server import Server, gitserve_programs, http_programs, running_server

pytestmark = pytest.mark.ours

KEY = "uploadpack.blobPackfileURI"
BLOBS = ("large", "other")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    path.mkdir()
    return path


@pytest.fixture
def server(base: Path, tmp_path: Path) -> Iterator[Server]:
    log = tmp_path / "http.log"
    with running_server(http_programs(), base, log, ["--export-all", "--workers=1"]) as server:
        server.scheme = "http"
        yield server
        server.assert_unharmed()


@pytest.fixture
def repository(base: Path, newest_git: Git) -> Path:
    """One commit with three files, and beside it ``elsewhere.git`` with a pack for each of two."""
    path = base / "repository"
    newest_git.run("init", "-q", str(path), cwd=base)
    for name in (*BLOBS, "small"):
        (path / name).write_text(f"{name}\n" * 1000)
    newest_git.run("add", ".", cwd=path)
    newest_git.run("commit", "-qm", "x", cwd=path)
    newest_git.run("init", "-q", "--bare", str(base / "elsewhere.git"), cwd=base)
    newest_git.run("config", "uploadpack.allowSidebandAll", "true", cwd=path)
    return path


def put_elsewhere(git: Git, repository: Path, name: str) -> tuple[str, str]:
    """The ids of a blob and of the pack that it is in."""
    blob = git.text("rev-parse", f"HEAD:{name}", cwd=repository)
    folder = repository.parent / "elsewhere.git/objects/pack/pack"
    packed = git.run("pack-objects", str(folder), cwd=repository, stdin=f"{blob}\n".encode())
    return blob, packed.stdout.decode().strip()


def configure(git: Git, repository: Path, *values: str) -> None:
    git.run("config", "--unset-all", KEY, cwd=repository, check=False)
    for value in values:
        git.run("config", "--add", KEY, value, cwd=repository)


def fetch(program: list[str], repository: Path, *arguments: str) -> tuple[list[bytes], bytes, int]:
    """The lines before the pack, the pack, and the exit code."""
    lines = b"".join(pkt(line.encode() + b"\n") for line in arguments)
    request = pkt(b"command=fetch\n") + DELIM + lines + FLUSH
    done = subprocess.run(
        [*program, "--stateless-rpc", str(repository)],
        input=request, capture_output=True, timeout=60,
        env={**os.environ, "GIT_PROTOCOL": "version=2"},
    )  # fmt: skip
    said, pack, rest = [], b"", done.stdout
    while rest:
        length = max(int(rest[:4], 16), 4)
        packet, rest = rest[4:length], rest[length:]
        if pack or packet.startswith(b"\1PACK"):
            pack += packet[1:]
        elif packet[:1] != b"\2":
            said.append(packet)
    return said, pack, done.returncode


def both(git: Git, repository: Path, *arguments: str) -> tuple[list[bytes], bytes]:
    """Our answer, once it is seen that git's is the same but for the order of its list."""
    ours = fetch(gitserve_programs().upload_pack.split(), repository, *arguments)
    theirs = fetch([git.path, "upload-pack"], repository, *arguments)
    assert sorted(ours[0]) == sorted(theirs[0])
    assert ours[1][:12] == theirs[1][:12]  # as many objects
    return ours[:2]


def test_what_is_said(repository: Path, newest_git: Git) -> None:
    head = newest_git.text("rev-parse", "HEAD", cwd=repository)
    wanted = (f"want {head}", "no-progress", "ofs-delta", "done")
    asked = ("sideband-all", "packfile-uris http,https", *wanted)
    ours = gitserve_programs().upload_pack.split()
    refused = fetch(ours, repository, *asked)
    assert b"unexpected line" in b"".join(refused[0])
    assert refused[2] == 128
    (large, pack), (other, other_pack) = (
        put_elsewhere(newest_git, repository, name) for name in BLOBS
    )
    configure(
        newest_git, repository, f"{large} {pack} https://a.example/x.pack",
        f"{other} {other_pack} http://a.example/y z",
    )  # fmt: skip
    said, body = both(newest_git, repository, *asked)
    assert said[0] == b"\1packfile-uris\n"
    assert f"\1{pack} https://a.example/x.pack\n".encode() in said
    assert body[11] == 3
    # only what it can load; nothing it did not ask for; nothing in the middle of plain lines
    said, body = both(newest_git, repository, "sideband-all", "packfile-uris http", *wanted)
    assert f"\1{other_pack} http://a.example/y z\n".encode() in said
    assert (len(said), body[11]) == (4, 4)
    for few in (
        ("sideband-all",),
        ("packfile-uris http,https",),
        ("sideband-all", "packfile-uris ftp"),
    ):
        said, body = both(newest_git, repository, *few, *wanted)
        assert b"packfile-uris" not in b"".join(said)
        assert body[11] == 5
    # trees and commits, too, in spite of the name; what hangs below them goes its own way
    tree = newest_git.text("rev-parse", "HEAD^{tree}", cwd=repository)
    configure(newest_git, repository, f"{tree} {pack} https://a.example/x.pack")
    assert both(newest_git, repository, *asked)[1][11] == 4
    # a pack of several blobs is told once: git tells it for each of them
    values = [f"{blob} {pack} https://a.example/x.pack" for blob in (large, other)]
    configure(newest_git, repository, *values)
    said, body, _ = fetch(ours, repository, *asked)
    assert said == [b"\1packfile-uris\n", f"\1{pack} https://a.example/x.pack\n".encode(), b"",
                    b"\1packfile\n"]  # fmt: skip
    assert body[11] == 3


@pytest.mark.parametrize("value", ["", "x", "{large} {pack}", "{large} zz http://x",
                                   "{large}  {pack} http://x"])  # fmt: skip
def test_what_is_no_such_value(repository: Path, newest_git: Git, value: str) -> None:
    head = newest_git.text("rev-parse", "HEAD", cwd=repository)
    large, pack = put_elsewhere(newest_git, repository, "large")
    configure(newest_git, repository, value.format(large=large, pack=pack))
    done = subprocess.run(
        [*gitserve_programs().upload_pack.split(), "--stateless-rpc", str(repository)],
        input=pkt(b"command=fetch\n") + DELIM + pkt(b"sideband-all\n")
        + pkt(b"packfile-uris http\n") + pkt(f"want {head}\n".encode()) + pkt(b"done\n") + FLUSH,
        capture_output=True, timeout=60, env={**os.environ, "GIT_PROTOCOL": "version=2"},
    )  # fmt: skip
    assert done.returncode == 128
    assert b"must be of the form '<object-hash> <pack-hash> <uri>'" in done.stderr
    assert b"PACK" not in done.stdout
    assert b"uploadpack.blobpackfileuri" not in done.stdout


def test_clone_and_fetch(
    git: Git, newest_git: Git, repository: Path, server: Server, tmp_path: Path
) -> None:
    values = []
    for name in BLOBS:
        blob, pack = put_elsewhere(newest_git, repository, name)
        place = server.url(server.base / f"elsewhere.git/objects/pack/pack-{pack}.pack")
        values.append(f"{blob} {pack} {place}")
    configure(newest_git, repository, *values)
    # a bitmap, from which the pack would be copied whole
    newest_git.run("repack", "-adbq", cwd=repository)
    for depth in ((), ("--depth=1",), ("--filter=tree:1",)):
        newest_git.run("config", "uploadpack.allowFilter", "true", cwd=repository)
        clone = tmp_path / f"clone{len(depth)}{depth[:1] == ('--depth=1',)}"
        git.run(
            "-c", "protocol.version=2", "-c", "fetch.uriprotocols=http,https", "clone", "-q",
            *depth, server.url(repository), str(clone), cwd=tmp_path,
        )  # fmt: skip
        assert (clone / "large").read_bytes() == (repository / "large").read_bytes()
        if depth != ("--filter=tree:1",):
            assert_sound(git, clone)
            assert object_ids(git, clone) == object_ids(git, repository)
            assert len(list((clone / ".git/objects/pack").glob("*.pack"))) == 3
    # what it has it is not told to get
    (repository / "new").write_text("new")
    newest_git.run("add", ".", cwd=repository)
    newest_git.run("commit", "-qm", "y", cwd=repository)
    clone = tmp_path / "clone0False"
    git.run("-c", "fetch.uriprotocols=http,https", "fetch", "-q", cwd=clone)
    assert len(list((clone / ".git/objects/pack").glob("*.pack"))) == 3
    assert_sound(git, clone)
