"""Large blobs are pushed and fetched at a cost that grows with their size, in constant memory."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from gitserve.protocol import ReceivableProtocol
from gitserve.repo import Repo
from gitserve.server import DictBackend, ReceivePackHandler, UploadPackHandler

from tests.parity.talks import ZERO, pkts
from tests.support.gits import Git, object_ids


def work_for(size: int, folder: Path) -> list[int]:
    """Calls in Python, and times the road was used, for a push and a fetch of so large a blob."""
    repo = Repo.init_bare(folder, mkdir=True)
    content = hashlib.shake_128(b"large").digest(size)
    pack = (
        b"PACK" + bytes((0, 0, 0, 2, 0, 0, 0, 1)) + entry_header(3, size) + zlib.compress(content)
    )
    pack += hashlib.sha1(pack).digest()
    blob_id = hashlib.sha1(b"blob %d\0%b" % (size, content)).hexdigest().encode()
    said = pkts(b"%b %b refs/tags/large\0report-status quiet" % (ZERO, blob_id), None) + pack
    counts = []
    for handler_class, words in (
        (ReceivePackHandler, said),
        (UploadPackHandler, pkts(b"want %b side-band-64k no-progress" % blob_id, None, b"done")),
    ):
        source, written, calls, used = io.BytesIO(words), io.BytesIO(), [0], [0]

        def recv(count: int, source: Any = source, used: Any = used) -> bytes:
            used[0] += 1
            data: bytes = source.read(min(count, 1 << 16))
            return data

        def write(data: bytes, written: Any = written, used: Any = used) -> None:
            used[0] += 1
            written.write(data)

        def count(frame: Any, *_: Any, calls: Any = calls) -> None:
            # not what a collection of garbage happens to end meanwhile
            calls[0] += "gitserve" in frame.f_code.co_filename

        proto = ReceivableProtocol(recv, write)
        handler = handler_class(DictBackend({"/": repo}), ["/"], proto, True)
        sys.setprofile(count)
        try:
            handler.handle()
        finally:
            sys.setprofile(None)
        counts += [calls[0], used[0]]
    assert len(written.getvalue()) > size
    assert repo.get_refs()[b"refs/tags/large"] == blob_id
    return counts


def entry_header(kind: int, size: int) -> bytes:
    head, size = bytearray([kind << 4 | size & 15]), size >> 4
    while size:
        head[-1] |= 0x80
        head.append(size & 0x7F)
        size >>= 7
    return bytes(head)


def test_a_blob_of_twice_the_size_is_twice_the_work(tmp_path: Path) -> None:
    """Counted, not timed: about twice as much, where going again through what has come would make
    it four times. The rest up to three is left to what follows the clock."""
    work_for(1 << 20, tmp_path / "first.git")  # what is imported when it is needed
    work = [work_for(size << 20, tmp_path / f"{size}.git") for size in (4, 8, 16)]
    for small, middle, large in zip(*work, strict=True):
        assert small < middle < 3 * small
        assert middle < large < 3 * middle


MEASURED = """\
import re, sys, threading, time
from gitserve.server import DictBackend, TCPGitServer
from gitserve.repo import Repo
from gitserve.web import WSGIRequestHandlerLogger, WSGIServerLogger, make_server, make_wsgi_chain
backend = DictBackend({"/": Repo(sys.argv[1])})
if sys.argv[2] == "git":
    server = TCPGitServer(backend, "127.0.0.1", 0)
else:
    server = make_server(
        "127.0.0.1", 0, make_wsgi_chain(backend),
        server_class=WSGIServerLogger, handler_class=WSGIRequestHandlerLogger,
    )
threading.Thread(target=server.serve_forever, daemon=True).start()
def own():
    # what is mapped from files is the kernel's to drop
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak = own()
print(server.server_address[1], flush=True)
def watch():
    global peak
    while True:
        peak = max(peak, own())
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
sys.stdin.readline()
print(peak - before, flush=True)
"""


FAST = ("-c", "core.bigFileThreshold=1m", "-c", "core.compression=0")


@pytest.fixture(scope="module")
def large(newest_git: Git, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 MB that do not compress."""
    git, source = newest_git, tmp_path_factory.mktemp("large")
    git.run("init", "--quiet", "--initial-branch=main", source)
    with (source / "large").open("wb") as file:
        for number in range(256):
            file.write(hashlib.shake_128(b"%d" % number).digest(1 << 20))
    git.run(*FAST, "add", "large", cwd=source)
    git.run("commit", "--quiet", "-m", "large", cwd=source)
    return source


@pytest.mark.parametrize("road", ["git", "http"])
def test_a_large_blob_goes_in_and_out_in_constant_memory(
    road: str, large: Path, newest_git: Git, tmp_path: Path
) -> None:
    """Less than 64 MB more than the server had before."""
    git = newest_git
    target = Repo.init_bare(tmp_path / "target.git", mkdir=True)
    with subprocess.Popen(
        [sys.executable, "-c", MEASURED, target.path, road],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        url = f"{road}://127.0.0.1:{server.stdout.readline().strip()}/"
        git.run(*FAST, "push", "--quiet", url, "main", cwd=large)
        clone = tmp_path / "clone.git"
        git.run(*FAST, "clone", "--quiet", "--bare", url, clone)
        server.stdin.write("\n")
        server.stdin.flush()
        kilobytes = int(server.stdout.readline())
        server.stdin.close()
    assert kilobytes < 64 << 10
    assert object_ids(git, clone, "main") == object_ids(git, large, "main")
