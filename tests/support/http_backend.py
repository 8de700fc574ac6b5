"""``git http-backend`` behind Python's own HTTP server: git's HTTP, as a web server would run it.

In: a folder and a git. Out: a URL. Knows chunked bodies, which CGI does not; asks for a password
below ``/private/``, and redirects what is below ``/moved/``.
"""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.gits import GIT_TIMEOUT, Git

CREDENTIALS = ("somebody", "a secret")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    git: Git
    base: Path
    seen: list[str]
    connections: list[object]

    def setup(self) -> None:
        super().setup()
        self.connections.append(self.client_address)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        self.seen.append(format % args)

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _serve(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/moved/"):
            self._answer(302, {"Location": self.path.removeprefix("/moved")}, b"")
            return
        if path.startswith("/private/"):
            token = base64.b64encode(":".join(CREDENTIALS).encode()).decode()
            if self.headers.get("Authorization") != f"Basic {token}":
                self._answer(401, {"WWW-Authenticate": 'Basic realm="x"'}, b"who are you?")
                return
            path = path.removeprefix("/private")
        if path.startswith("/page/"):
            self._answer(200, {"Content-Type": "text/html"}, b"<html>")
            return
        environ = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.base),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        if "Git-Protocol" in self.headers:
            environ["GIT_PROTOCOL"] = self.headers["Git-Protocol"]
        done = subprocess.run(
            [self.git.path, "http-backend"], input=body, capture_output=True, env=environ,
            timeout=GIT_TIMEOUT, check=False,
        )  # fmt: skip
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class HttpBackend:
    """A running server."""

    def __init__(
        self, server: ThreadingHTTPServer, seen: list[str], connections: list[object]
    ) -> None:
        self._server = server
        self.seen = seen
        """The requests, as logged."""
        self.connections = connections
        """Who has connected."""

    @property
    def url(self) -> str:
        """The root of all repositories."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"


@contextlib.contextmanager
def running_http_backend(git: Git, base: Path) -> Iterator[HttpBackend]:
    """Listens when the block begins, and is gone when it ends."""
    seen: list[str] = []
    connections: list[object] = []
    shared = {"git": git, "base": base, "seen": seen, "connections": connections}
    handler = type("Handler", (_Handler,), shared)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield HttpBackend(server, seen, connections)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
