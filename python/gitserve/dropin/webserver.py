"""The standard library's WSGI server, with dulwich's names for its logging classes, and ``main``.

In: a WSGI application. Out: answers, each connection on a thread of its own. For one machine and a
few people; ``gitserve http`` is the server to run, or gunicorn and its like.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import IO, Any, cast
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

logger = logging.getLogger("gitserve.web")

SECONDS = 600.0
"""In which a client neither sends nor takes a byte."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class _Logged:
    """Says to the log what wsgiref would say to standard error."""

    def log_exception(self, exc_info: ExcInfo | None) -> None:
        """With its traceback, which no client sees."""
        logger.error("Exception happened during processing of request", exc_info=exc_info)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """A request."""
        logger.info(format, *args)

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """One that was none."""
        logger.error(format, *args)


class ServerHandlerLogger(_Logged, ServerHandler):
    """One call of the application."""


class WSGIRequestHandlerLogger(_Logged, WSGIRequestHandler):
    """One connection."""

    timeout = SECONDS

    def handle(self) -> None:
        """One request."""
        try:
            self.raw_requestline = self.rfile.readline(65537)
            if len(self.raw_requestline) > 65536:
                self.requestline = self.request_version = self.command = ""
                self.send_error(414)
                return
            if not self.raw_requestline or not self.parse_request():
                return
        except OSError:
            return  # it went away, or said nothing for too long
        server = cast(WSGIServer, self.server)
        handler = ServerHandlerLogger(
            cast(IO[bytes], self.rfile),
            cast(IO[bytes], self.wfile),
            self.get_stderr(),
            self.get_environ(),
        )
        cast(Any, handler).request_handler = self
        handler.run(cast(Any, server.get_app()))


class WSGIServerLogger(ThreadingMixIn, WSGIServer):
    """Serves connections at once: one that is slow stops no other."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """A line, with its traceback."""
        error = sys.exc_info()
        logger.error("Exception happened while serving %s", client_address, exc_info=error)


def main(argv: Sequence[str] | None = None) -> None:
    """Serves one repository until it is interrupted; pushes only when they are allowed."""
    from wsgiref.simple_server import make_server

    from gitserve.repo import Repo
    from gitserve.server import DictBackend
    from gitserve.web import make_wsgi_chain

    parser = argparse.ArgumentParser(description="Serves one Git repository over HTTP.")
    parser.add_argument(
        "-l", "--listen_address", "--listen-address", default="localhost", help="%(default)s"
    )
    parser.add_argument("-p", "--port", type=int, default=8000, help="%(default)s")
    parser.add_argument("--enable-push", action="store_true", help="let everyone push")
    parser.add_argument("repository", nargs="?", default=os.getcwd())
    options = parser.parse_args(sys.argv[1:] if argv is None else list(argv)[1:])
    logging.basicConfig(level=logging.INFO)
    app = make_wsgi_chain(
        DictBackend({"/": Repo(options.repository)}),
        handlers=None if options.enable_push else {b"git-receive-pack": cast(Any, None)},
    )
    server = make_server(
        options.listen_address,
        options.port,
        app,
        server_class=WSGIServerLogger,
        handler_class=WSGIRequestHandlerLogger,
    )
    logger.info("Listening for HTTP connections on %s:%d", options.listen_address, options.port)
    server.serve_forever()
