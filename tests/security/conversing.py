"""The daemon's and the HTTP server's own code, one connection at a time, inside the test.

In: bytes of a client. Out: bytes of the server, and its log. Nothing but the waiting for clients is
left out, so a test costs milliseconds; what concerns processes is in ``tests/interop``.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gitserve.options import ConnectionOptions, DaemonOptions
from gitserve.transport.exports import Exports
from gitserve.transport.httpserver import HttpServer, made_http
from gitserve.transport.log import Log
from gitserve.transport.pool import Connection
from gitserve.transport.services import service_rules
from gitserve.transport.tcp import Daemon, made_daemon

from tests.support.raw import Raw

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Seconds that a client waits for one read; only a test that fails waits that long."""

LINE = re.compile(r"\[\d+\] \S.*")


@contextlib.contextmanager
def connected(serve: Callable[[Connection], None]) -> Iterator[Raw]:
    """A client of a server that serves this one connection and is done when the block ends."""
    with socket.create_server((HOST, 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        accepted, peer = listener.accept()

    def run() -> None:
        with accepted:
            serve(Connection(accepted, peer))

    serving = threading.Thread(target=run)
    serving.start()
    try:
        with Raw(client) as raw:
            yield raw
    finally:
        serving.join()


def said(serve: Callable[[Connection], None], *pieces: bytes) -> bytes:
    """All that is answered to a client that says this and no more."""
    with connected(serve) as raw:
        raw.send(*pieces)
        raw.say_no_more()
        return raw.rest()


@dataclass(frozen=True, slots=True)
class Site:
    """A folder of repositories, on both roads."""

    folder: Path
    daemon: Daemon
    web: HttpServer
    log_path: Path

    def git(self, *pieces: bytes) -> bytes:
        """Over git://."""
        return said(self.daemon.serve, *pieces)

    def http(self, *pieces: bytes) -> bytes:
        """Over HTTP."""
        return said(self.web.serve, *pieces)

    def log(self) -> str:
        """All of it, made of whole lines that nobody but us began."""
        text = self.log_path.read_text()
        for line in text.splitlines():
            assert LINE.fullmatch(line), line
        return text


@contextlib.contextmanager
def open_site(
    folder: Path, log_path: Path, connections: ConnectionOptions | None = None
) -> Iterator[Site]:
    """Serves all below ``folder``, pushes and archives too."""
    options = DaemonOptions(
        addresses=(HOST,), threads=1,
        connections=connections or ConnectionOptions(init_timeout=PATIENCE, timeout=PATIENCE),
    )  # fmt: skip
    exports = Exports(base_path=str(folder), export_all=True)
    services = service_rules(["receive-pack", "upload-archive"])
    descriptor = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        log = Log(descriptor, verbose=True)
        yield Site(
            folder,
            made_daemon(options, exports, services, None, log),
            made_http(options, exports, services, None, log),
            log_path,
        )
    finally:
        os.close(descriptor)


def get(path: bytes, *headers: bytes, method: bytes = b"GET", query: bytes = b"") -> bytes:
    """A request without a body."""
    target = path + (b"?" + query if query else b"")
    lines = (b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(path: bytes, body: bytes, *headers: bytes, service: bytes = b"git-upload-pack") -> bytes:
    """A service's request; its headers have to say how long it is."""
    kind = b"Content-Type: application/x-%b-request" % service
    target = b"%b/%b" % (path, service)
    return get(target, kind, b"Git-Protocol: version=2", *headers, method=b"POST") + body


def length(body: bytes) -> bytes:
    """The header that announces it."""
    return b"Content-Length: %d" % len(body)


def status(answer: bytes) -> int:
    """Of an HTTP answer; one without a head is told by its only line."""
    words = answer.split(b" ", 2)
    return int(words[1] if answer.startswith(b"HTTP/") else words[0])


def undated(answer: bytes) -> bytes:
    """Without what differs from one moment to the next."""
    return re.sub(rb"Date: [^\r]*\r\n", b"", answer)
