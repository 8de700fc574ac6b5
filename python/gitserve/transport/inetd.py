"""One git:// client on standard input and output: git-daemon(1), ``--inetd``.

In: the daemon's options. Out: one request served. Somebody else listens: inetd, systemd, or a test
with two pipes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from gitserve.errors import GitServeError
from gitserve.options import DaemonOptions
from gitserve.transport.exports import Exports
from gitserve.transport.pipes import PipeStream
from gitserve.transport.pool import Connection
from gitserve.transport.services import ServiceRule
from gitserve.transport.tcp import made_daemon
from gitserve.transport.workers import opened_log


def serve_standard_input(
    options: DaemonOptions, exports: Exports, services: Mapping[str, ServiceRule]
) -> None:
    """Raises nothing that a client could cause."""
    log = opened_log(options)
    # a thread would end with this one client
    daemon = made_daemon(options, exports, services, None, log, upkeep="process")
    try:
        accepted = socket.socket(fileno=os.dup(0))
    except OSError:  # two pipes
        try:
            daemon.serve_on(PipeStream(0, 1, options.connections.timeout), None)
        except GitServeError as error:
            log.line(str(error))
        return
    with accepted:
        try:
            peer = accepted.getpeername()
        except OSError:  # it is gone already, or has no name
            peer = ""
        daemon.serve(Connection(accepted, peer))
