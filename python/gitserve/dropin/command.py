"""One request on two files, and the little server of ``python -m gitserve.server``.

In: a handler class and files, or arguments. Out: an exit status. ``gitserve upload-pack`` and
``gitserve daemon`` are the grown-up forms.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import IO, Any

from gitserve.dropin.backends import FileSystemBackend
from gitserve.dropin.carrier import Protocol
from gitserve.dropin.handlers import Handler
from gitserve.dropin.tcp import DEFAULT_HANDLERS, TCPGitServer
from gitserve.dropin.words import TCP_GIT_PORT


def serve_command(
    handler_cls: Any,
    argv: Sequence[Any] | None = None,
    backend: Any = None,
    inf: IO[bytes] | None = None,
    outf: IO[bytes] | None = None,
) -> int:
    """Serves one request on files, as sshd's forced commands want it; the exit status.

    ``argv``: a program's name and the repository's path, default the process's own. ``backend``
    default: all of the file system. Files default to standard input and output.
    """
    words = list(sys.argv if argv is None else argv)[1:]
    version = os.environ.get("GIT_PROTOCOL")
    if inf is None and version:
        words += version.split(":")
    source: Any = sys.stdin.buffer if inf is None else inf
    sink: Any = sys.stdout.buffer if outf is None else outf

    def write(data: bytes) -> None:
        sink.write(data)
        sink.flush()

    proto = Protocol(source.read, write)
    handler = handler_cls(FileSystemBackend() if backend is None else backend, words, proto)
    if isinstance(handler, Handler):
        handler.admit("stdio", os.environ.get("REMOTE_USER") or None)
    handler.handle()
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    """Serves the repositories below a folder over git:// until interrupted."""
    parser = argparse.ArgumentParser(
        prog="gitserve.server", description="Serves the repositories below a folder over git://."
    )
    parser.add_argument(
        "-l", "--listen_address", "--listen-address", default="localhost", help="address to bind"
    )
    parser.add_argument("-p", "--port", type=int, default=TCP_GIT_PORT, help="TCP port to bind")
    parser.add_argument(
        "--enable", action="append", choices=["receive-pack"], default=[], help="allow pushes"
    )
    parser.add_argument("gitdir", nargs="?", default=".", help="folder to serve")
    options = parser.parse_args(list(sys.argv if argv is None else argv)[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    handlers = {b"git-receive-pack": None}
    if "receive-pack" in options.enable:
        handlers = {b"git-receive-pack": DEFAULT_HANDLERS[b"git-receive-pack"]}
    backend = FileSystemBackend(options.gitdir)
    with TCPGitServer(backend, options.listen_address, options.port, handlers) as server:
        server.serve_forever()
