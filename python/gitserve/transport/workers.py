"""A server's whole life: listen, start workers, serve, stop when told to.

In: options, and what to do with a connection. Out: nothing until SIGTERM or SIGINT. What git:// and
HTTP have in common; must not know either.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from gitserve.options import DaemonOptions
from gitserve.transport.counting import ConnectionCount, SharedCounts
from gitserve.transport.listen import listen, shown
from gitserve.transport.log import Log
from gitserve.transport.pool import Pool, Serve
from gitserve.transport.prefork import StopSignal, Watcher


def run_workers(
    options: DaemonOptions,
    serve: Serve,
    refuse: Serve,
    log: Log,
    *,
    on_listening: Callable[[list[socket.socket]], None] | None = None,
) -> None:
    """Serves until it is stopped. Raises CannotListen; OSError for the pid file."""
    listeners = listen(
        options.addresses,
        options.port,
        reuse_address=options.reuse_address,
        backlog=options.backlog,
    )
    counts = SharedCounts(options.worker_count)

    def work(number: int, stop: StopSignal) -> None:
        count = ConnectionCount(counts, number, options.connections.max_connections)
        pool = Pool(listeners, serve, refuse, count)
        pool.start()
        stop.wait()
        pool.stop(options.grace)

    def stop_listening() -> None:
        log.line("Stopping; running transfers may finish")
        for listener in listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes every worker's threads
            listener.close()

    if options.pid_file is not None:
        with open(options.pid_file, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    for listener in listeners:
        log.line(f"Listening on {shown(listener)}")
    if on_listening is not None:
        on_listening(listeners)
    log.line("Ready to rumble")
    try:
        Watcher(options.worker_count, work, log, grace=options.grace).run(
            on_stop=stop_listening, on_death=lambda number: counts.set(number, 0)
        )
    finally:
        if options.pid_file is not None:
            _remove_pid_file(options.pid_file)


def _remove_pid_file(path: str) -> None:
    """Unless a server that was started while we finished our transfers has put its own there."""
    with suppress(OSError):
        with open(path, encoding="ascii", errors="replace") as file:
            is_ours = file.read(64).strip() == str(os.getpid())
        if is_ours:
            os.unlink(path)
