"""A small HTTP server for the WSGI application: the standard library's, on our workers.

In: connections, one request each. Out: what the application answers. It has the daemon's workers,
limits, timeouts and way to stop. TLS, names and passwords are for the proxy in front of it.

The parsing of heads is :mod:`http.server`'s, the calling of the application
:mod:`wsgiref.handlers`'s; here is what they lack: a deadline for the head, time limits for the
rest, writes that are joined, and refusals that the client gets to read.
"""

from __future__ import annotations

import io
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIRequestHandler

from gitserve import __version__
from gitserve.errors import GitServeError, HangupError, PeerTimeout
from gitserve.options import ConnectionOptions, DaemonOptions
from gitserve.record import Record
from gitserve.service.requests import ServiceOptions
from gitserve.service.streams import Chunk
from gitserve.transport.exports import Exports
from gitserve.transport.httpanswer import Answer
from gitserve.transport.httpapp import (
    CLIENT_SOCKET,
    DIRECT,
    TAKES_CHUNKS,
    GitHttp,
    find_exported,
)
from gitserve.transport.listen import shown_address
from gitserve.transport.log import Log
from gitserve.transport.pool import Connection
from gitserve.transport.services import DEFAULT_SERVICES, ServiceRule
from gitserve.transport.streams import SocketStream
from gitserve.transport.workers import (
    homes_of_packs,
    import_services,
    opened_log,
    options_of_services,
    run_workers,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from wsgiref.headers import Headers
    from wsgiref.types import WSGIApplication

    from _typeshed import WriteableBuffer

    from gitserve.service.streams import Sendable

_A = TypeVar("_A")
_R = TypeVar("_R")

READ_AHEAD = 64 << 10
"""Bytes of a body taken at once; also the longest head line that is taken."""

REFUSING_SECONDS = 1.0
"""For telling one client too many so; it must not keep a thread from others."""

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 39\r\n\r\n"
    b"the server is busy; try again later...\n"
)


class SocketReader(io.RawIOBase):
    """A stream for :class:`io.BufferedReader`; a peer's faults are errors that wsgiref knows."""

    def __init__(self, stream: SocketStream) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """One read of the socket."""
        view = memoryview(buffer).cast("B")
        data = _as_os_error(self._stream.read, len(view))
        view[: len(data)] = data
        return len(data)


class SocketWriter:
    """Joins what is written until it is flushed: heads are written line by line."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._held: list[Sendable] = []
        self.closed = False

    def write(self, data: Sendable) -> None:
        """Keeps it."""
        self._held.append(data)

    def flush(self) -> None:
        """Sends it."""
        held, self._held = self._held, []
        if len(held) > 1 and len(held[-1]) >= READ_AHEAD:
            held = [b"".join(held[:-1]), held[-1]]  # a pack's buffers are not copied
        elif len(held) > 1:
            held = [b"".join(held)]
        for data in held:
            _as_os_error(self._stream.write, data)

    def close(self) -> None:
        """The socket is closed by whoever opened it."""
        self.closed = True


def _as_os_error(call: Callable[[_A], _R], argument: _A) -> _R:
    try:
        return call(argument)
    except PeerTimeout as error:
        raise TimeoutError(str(error)) from error
    except HangupError as error:
        raise ConnectionAbortedError(str(error)) from error


class Beginning:
    """The status and headers of an answer: see :class:`~gitserve.transport.httpanswer.Direct`."""

    __slots__ = ("_protocol", "is_sent")

    def __init__(self, protocol: str) -> None:
        """``protocol``: which version of HTTP the client speaks."""
        self._protocol = protocol
        self.is_sent = False

    def head(self, status: str, headers: list[tuple[str, str]]) -> bytes:
        """What would begin the answer; empty if it has begun."""
        if self.is_sent:
            return b""
        out = io.BytesIO()
        call = Call(io.BytesIO(), out, sys.stderr, {})
        call.environ = {"SERVER_PROTOCOL": self._protocol}
        call.beginning = Beginning(self._protocol)
        call.start_response(status, [*headers])  # it adds its own
        call.send_headers()
        return out.getvalue()

    def has_begun(self) -> None:
        """Somebody else has sent it."""
        self.is_sent = True


class Call(SimpleHandler):
    """One call of the application."""

    http_version = "1.1"
    server_software = f"gitserve/{__version__}"
    wsgi_file_wrapper = None  # its pieces are small
    headers: Headers  # which the library's stub forgets, as these three
    headers_sent: bool
    bytes_sent: int
    result: object
    environ: dict[str, Any]
    log: Log
    beginning: Beginning

    def write(self, data: Sendable) -> None:
        """As the library's, which has bytes alone, and of the core's chunks too."""
        if not isinstance(data, Chunk):
            super().write(data)
            return
        self.bytes_sent = (self.bytes_sent if self.headers_sent else 0) + len(data)
        if not self.headers_sent:
            self.send_headers()
        try:
            self.stdout.write(cast("bytes", data))
            self.stdout.flush()
        except GitServeError as error:
            # it was not the client: that is an OSError
            if not isinstance(self.result, Answer):
                raise
            for piece in self.result.failed(error):
                super().write(piece)

    def send_headers(self) -> None:
        """Once, whoever does it."""
        if self.beginning.is_sent:
            self.headers_sent = True
            return
        super().send_headers()
        self.beginning.is_sent = True

    def cleanup_headers(self) -> None:
        """One request a connection: the end of the connection is the end of the answer."""
        super().cleanup_headers()
        self.headers["Connection"] = "close"

    def log_exception(
        self,
        exc_info: tuple[type[BaseException], BaseException, TracebackType]
        | tuple[None, None, None],
    ) -> None:
        """A line, as everything else."""
        self.log.line(f"{type(exc_info[1]).__name__}: {exc_info[1]}")


class HttpConnection(WSGIRequestHandler):
    """One connection, with one request on it."""

    server_version = f"gitserve/{__version__}"
    protocol_version = "HTTP/1.1"  # so that Expect: 100-continue is answered
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def __init__(self, connection: Connection, server: HttpServer, stream: SocketStream) -> None:
        self._connection = connection
        self._http = server
        self._stream = stream
        super().__init__(connection.socket, cast(Any, connection.peer), cast(Any, server))

    def setup(self) -> None:
        """Instead of the sockets' own files."""
        self.rfile = io.BufferedReader(SocketReader(self._stream), READ_AHEAD)
        self.wfile = cast(Any, SocketWriter(self._stream))

    def handle(self) -> None:
        """One request."""
        self._stream.expect_within(self._http.connections.init_timeout)
        self.raw_requestline = self.rfile.readline(READ_AHEAD + 1)
        if not self.raw_requestline:
            return  # somebody looks whether we are there
        if len(self.raw_requestline) > READ_AHEAD:
            self.requestline = self.request_version = self.command = ""
            self.send_error(414)
            self._answered()
            return
        if not self.parse_request():
            self._answered()
            return
        if self.headers.defects:
            # the library reads on as if there were no more headers; a proxy may see it otherwise
            self.send_error(400, "malformed headers")
            self._answered()
            return
        if len(set(self.headers.get_all("content-length", []))) > 1:
            self.send_error(400, "several lengths")
            self._answered()
            return
        self._connection.asked = True
        self._stream.expect_within(0)
        environ: dict[str, Any] = self.get_environ()
        environ[CLIENT_SOCKET] = self._connection.socket
        environ[TAKES_CHUNKS] = True
        call = Call(cast(IO[bytes], self.rfile), cast(IO[bytes], self.wfile), sys.stderr, environ)
        call.log = self._http.log
        environ[DIRECT] = call.beginning = Beginning(self.request_version)
        call.run(self._http.app)
        call.result = None  # of a client that has gone it would stay, and hold the call
        if self.command == "POST":
            self._answered()

    def handle_expect_100(self) -> bool:
        """The client waits for this line before it sends its body."""
        goes_on = super().handle_expect_100()
        self.wfile.flush()
        return goes_on

    def finish(self) -> None:
        """What is still held leaves."""
        with suppress(OSError):
            self.wfile.flush()

    def _answered(self) -> None:
        """The client may still be sending: let it read the answer before the connection goes."""
        with suppress(OSError):
            self.wfile.flush()
            self._stream.drain()

    def version_string(self) -> str:
        """Without the interpreter's."""
        return self.server_version

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Of what never became a request."""
        self._http.log.detail(f"{shown_address(self.client_address)} {format % args}")


class HttpServer(Record):
    """What is served, and how."""

    app: WSGIApplication
    connections: ConnectionOptions
    log: Log
    base_environ: Mapping[str, str]

    def serve(self, connection: Connection) -> None:
        """One connection. Raises nothing."""
        try:
            stream = SocketStream(connection.socket, self.connections.timeout)
            HttpConnection(connection, self, stream)
        except (GitServeError, OSError) as error:
            self.log.detail(f"{shown_address(connection.peer)} client failed: {error}")
        except Exception as error:  # noqa: BLE001 - a bug of ours ends one connection, not all
            self.log.line(f"{shown_address(connection.peer)} {type(error).__name__}: {error}")

    def refuse(self, connection: Connection) -> None:
        """One client more than may be."""
        self.log.line(f"{shown_address(connection.peer)} refused: too many connections")
        with suppress(GitServeError):
            SocketStream(connection.socket, REFUSING_SECONDS).write(BUSY)


def made_http(
    options: DaemonOptions,
    exports: Exports,
    services: Mapping[str, ServiceRule] | None,
    service_options: ServiceOptions | None,
    log: Log,
) -> HttpServer:
    """What :func:`run_http` runs."""
    app = GitHttp(
        find_exported(exports),
        services=DEFAULT_SERVICES if services is None else services,
        options=service_options or options_of_services(options, "thread"),
        log=log,
    )
    base_environ = {
        "SERVER_NAME": options.addresses[0] if options.addresses else socket.gethostname(),
        "SERVER_PORT": str(options.port),
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_HOST": "",
        "CONTENT_LENGTH": "",
        "SCRIPT_NAME": "",
    }
    return HttpServer(app, options.connections, log, base_environ)


def run_http(
    options: DaemonOptions,
    exports: Exports,
    services: Mapping[str, ServiceRule] | None = None,
    service_options: ServiceOptions | None = None,
    *,
    on_listening: Callable[[list[socket.socket]], None] | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT, which it returns. Raises as :func:`run_workers` does."""
    import_services()
    log = opened_log(options)
    service_options = service_options or options_of_services(options, "thread")
    with homes_of_packs(options, service_options) as (service_options, homes):
        server = made_http(options, exports, services, service_options, log)
        return run_workers(
            options, server.serve, server.refuse, log, homes=homes, on_listening=on_listening
        )
