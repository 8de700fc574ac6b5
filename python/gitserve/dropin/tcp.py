"""``TCPGitServer``: git:// as a :class:`socketserver.TCPServer`.

In: a backend, an address. Out: handlers that run. A connection has a thread of its own, so that an
idle client keeps nobody waiting. For a daemon with processes, options and a log there is
``gitserve daemon``; this is the one to embed in a program. Git's document: gitprotocol-pack, "Git
Transport".
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gitserve.dropin.archive import UploadArchiveHandler
from gitserve.dropin.carrier import ReceivableProtocol
from gitserve.dropin.handlers import Handler
from gitserve.dropin.receive import ReceivePackHandler
from gitserve.dropin.upload import UploadPackHandler
from gitserve.dropin.words import TCP_GIT_PORT
from gitserve.errors import GitProtocolError, HangupException, NotGitRepository, Refused
from gitserve.service.permission import NotPermitted
from gitserve.wire import error_line
from gitserve.wire.malformed import quoted

logger = logging.getLogger("gitserve.server")

DEFAULT_HANDLERS: dict[bytes, Any] = {
    b"git-upload-pack": UploadPackHandler,
    b"git-receive-pack": ReceivePackHandler,
    b"git-upload-archive": UploadArchiveHandler,
}

LINGER_SECONDS = 2.0
"""How long a client that was refused may go on sending. Closing a socket with unread bytes makes
the kernel reset it, and the client never reads why."""

DENIED = b"access denied or repository not exported: "


class TCPGitRequestHandler(socketserver.StreamRequestHandler):
    """One connection."""

    timeout = 600.0
    """Seconds without a byte in either direction. Long: a pusher says nothing while it
    compresses."""

    disable_nagle_algorithm = True

    def __init__(
        self,
        handlers: Mapping[bytes, Any],
        request: Any,
        client_address: Any,
        server: socketserver.BaseServer,
    ) -> None:
        self.handlers = handlers
        super().__init__(request, client_address, server)

    def handle(self) -> None:
        """Reads the request, finds its handler, lets it handle. Raises what it raises."""
        proto = ReceivableProtocol(self.connection.recv, self.wfile.write)
        try:
            command, args = proto.read_cmd()
        except HangupException:
            return  # somebody looked whether we are there
        except (AssertionError, GitProtocolError) as error:
            self._refuse(b"invalid request")
            raise GitProtocolError(f"Invalid request: {error}") from error
        logger.info("Handling %r request, args=%r", command, args)
        handler_class = self.handlers.get(command)
        if not callable(handler_class):
            self._refuse(b"service not enabled: " + quoted(command).encode())
            raise GitProtocolError(f"Invalid service {command!r}")
        try:
            handler = handler_class(self.server.backend, args, proto)  # type: ignore[attr-defined]
        except (NotGitRepository, Refused):
            self._refuse(DENIED + quoted(args[0]).encode())
            raise
        if isinstance(handler, Handler):
            try:
                handler.admit("git", address=str(self.client_address[0]))
            except NotPermitted as error:
                self._refuse(error.told or DENIED + quoted(args[0]).encode())
                raise
        try:
            handler.handle()
        except Exception:
            self._let_read()
            raise

    def _refuse(self, reason: bytes) -> None:
        with suppress(OSError):
            self.wfile.write(error_line.format(reason))
        self._let_read()

    def _let_read(self) -> None:
        """Lets the client read what it was told last: ends our side, reads its side away."""
        deadline = time.monotonic() + LINGER_SECONDS
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                self.connection.settimeout(left)
                if not self.connection.recv(1 << 16):
                    return


class TCPGitServer(socketserver.TCPServer):
    """Serves a backend over git://, each connection on a thread."""

    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = True
    """A connection does not keep the program from ending."""
    close_timeout = 10.0
    """Seconds that running requests have to finish when the server is closed."""

    def __init__(
        self,
        backend: Any,
        listen_addr: str | bytes,
        port: int = TCP_GIT_PORT,
        handlers: Mapping[bytes, Any] | None = None,
    ) -> None:
        """Listens. ``port`` 0: any free one, see ``server_address``. ``handlers`` adds to, or
        replaces, :data:`DEFAULT_HANDLERS`."""
        self.backend = backend
        self.handlers: dict[bytes, Any] = dict(DEFAULT_HANDLERS)
        self.handlers.update(handlers or {})
        self._running: dict[threading.Thread, Any] = {}
        self._running_lock = threading.Lock()
        address = listen_addr.decode("ascii") if isinstance(listen_addr, bytes) else listen_addr
        super().__init__((address, port), self._make_handler)
        # said once it is true: who reads it may connect at once
        logger.info("Listening for TCP connections on %s:%d", *self.server_address[:2])

    serve = socketserver.TCPServer.serve_forever

    def _make_handler(
        self, request: Any, client_address: Any, server: socketserver.BaseServer
    ) -> TCPGitRequestHandler:
        return TCPGitRequestHandler(self.handlers, request, client_address, server)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """May this client be served? A subclass may say no."""
        logger.info("Handling request from %s", client_address)
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Called in the ``except`` of a request that failed: logs it."""
        logger.error(
            "Exception happened during processing of request from %s",
            client_address,
            exc_info=True,  # noqa: LOG014 - socketserver calls this in its except
        )

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts the connection's thread. ``ThreadingMixIn`` in front of this class replaces it
        by its own, which does the same."""
        thread = threading.Thread(
            target=self._process,
            args=(request, client_address),
            name=f"git-{client_address}",
            daemon=self.daemon_threads,
        )
        with self._running_lock:
            self._running[thread] = request
        thread.start()

    def _process(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:  # noqa: BLE001 - ends one connection, as socketserver does it
            self.handle_error(request, client_address)
        finally:
            self.shutdown_request(request)
            with self._running_lock:
                self._running.pop(threading.current_thread(), None)

    def server_close(self) -> None:
        """Stops listening; lets running requests finish, and cuts those that do not."""
        super().server_close()
        deadline = time.monotonic() + self.close_timeout
        for thread, request in self._left():
            if thread is threading.current_thread():
                continue
            with suppress(OSError):
                request.shutdown(socket.SHUT_RD)  # whoever only waits for its client goes now
            thread.join(max(0.0, deadline - time.monotonic()))
        for _, request in self._left():
            with suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def _left(self) -> list[tuple[threading.Thread, Any]]:
        with self._running_lock:
            return list(self._running.items())
