"""What a request was made of goes with it: nothing waits for the garbage to be looked through.

It would keep the request's snapshots, and what its walk has found, until some later request.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitserve.options import DaemonOptions
from gitserve.repository.files import RACY_NS
from gitserve.transport.exports import Exports
from gitserve.transport.log import Log
from gitserve.transport.services import service_rules
from gitserve.transport.tcp import Daemon, made_daemon

from tests.support.gits import Git
from tests.support.raw import FLUSH, greeting, pkt
from tests.support.repositories import WHO, feed, new_bare


class Client:
    """Says everything at once, and reads what comes."""

    def __init__(self, *said: bytes) -> None:
        self._said = [*said, b""]
        self.told = b""

    def fileno(self) -> int:
        return 1

    def expect_within(self, seconds: float) -> None: ...

    def drain(self) -> None: ...

    def read(self, _size: int, /) -> bytes:
        return self._said.pop(0)

    def write(self, data: bytes, /) -> None:
        self.told += bytes(data)


@pytest.fixture
def served(tmp_path: Path, newest_git: Git) -> tuple[Daemon, bytes]:
    """A daemon, and the tip of what it serves as ``/a.git``."""
    path = tmp_path / "a.git"
    new_bare(newest_git, path)
    feed(newest_git, path, b"commit refs/heads/main\ncommitter %b\ndata 1\nx\ndone\n" % WHO)
    exports = Exports(base_path=str(tmp_path), export_all=True)
    services = service_rules(["receive-pack", "upload-archive"])
    daemon = made_daemon(DaemonOptions(), exports, services, None, Log(None))
    tip = newest_git.run("rev-parse", "main", cwd=path).stdout.strip()
    time.sleep(2 * RACY_NS / 1e9)  # settings that have just been written are read anew each time
    return daemon, tip


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


LS_REFS = pkt(b"command=ls-refs\n") + b"0001" + pkt(b"peel\n") + FLUSH
DELETION = b"%b " + b"0" * 40 + b" refs/heads/main\0report-status\n"


@pytest.mark.parametrize(
    ("service", "version", "said"),
    [
        (b"git-upload-pack", 2, LS_REFS + FLUSH),
        (b"git-upload-pack", 2, b"fetch"),
        (b"git-upload-pack", 0, FLUSH),
        (b"git-upload-archive", 0, pkt(b"argument main\n") + FLUSH),
        (b"git-receive-pack", 0, b"delete"),
    ],
)
@pytest.mark.usefixtures("no_collection")
def test_nothing_is_left(
    served: tuple[Daemon, bytes], service: bytes, version: int, said: bytes
) -> None:
    daemon, tip = served
    if said == b"fetch":
        wants = pkt(b"want %b\n" % tip) + pkt(b"done\n")
        said = pkt(b"command=fetch\n") + b"0001" + wants + FLUSH
    elif said == b"delete":
        said = pkt(DELETION % tip) + FLUSH
    extra = b"version=2" if version == 2 else b""
    for _ in range(2):  # what is imported and remembered with the first is not asked about
        client = Client(greeting(service, b"/a.git", extra), said)
        gc.collect()
        daemon.serve_on(client, ("127.0.0.1", 1))
    assert client.told
    assert b"ERR" not in client.told
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    assert not gc.garbage
