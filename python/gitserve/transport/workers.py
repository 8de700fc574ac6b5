"""A server's whole life: listen, start workers, serve, stop when told to.

In: options, and what to do with a connection. Out: nothing until SIGTERM or SIGINT. What git:// and
HTTP have in common; must not know either.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gitserve.options import DaemonOptions
from gitserve.record import Record, compile_constructors
from gitserve.service import packcache, sharing
from gitserve.service.requests import ServiceOptions
from gitserve.service.rolling import end_roll_ups
from gitserve.transport.counting import ConnectionCount, SharedCounts
from gitserve.transport.homes import Homes, serve_order
from gitserve.transport.listen import listen, shown
from gitserve.transport.log import Log
from gitserve.transport.pool import Connection, Pool, Serve
from gitserve.transport.prefork import STOP_SIGNALS, StopSignal, Watcher
from gitserve.transport.process import become, credentials, detach
from gitserve.transport.streams import prepare

READY = "Ready to rumble"
"""Git's word for it, which its tests wait for."""


def opened_log(options: DaemonOptions) -> Log:
    """Where the operator wants it."""
    return Log(
        2 if options.log_destination == "stderr" else None,
        verbose=options.verbose,
        syslog=options.log_destination == "syslog",
    )


def options_of_services(options: DaemonOptions, upkeep: str) -> ServiceOptions:
    """What the operator says to the services, where a program has not said it.

    ``upkeep``: who does it behind a push.
    """
    return ServiceOptions(
        threads=options.threads,
        pack_cache=options.pack_cache,
        upkeep=upkeep,
        policy=options.policy,
    )


def import_services() -> None:
    """All that requests need, before the workers are forked, which then share it."""
    import gitserve.service.receive
    import gitserve.service.upload
    import gitserve.session.receive
    import gitserve.session.upload_v0
    import gitserve.session.upload_v2  # noqa: F401


class HomesOfPacks(Record):
    """Where workers make packs, and by what rules."""

    homes: Homes
    options: ServiceOptions
    timeout: float
    """Seconds for each piece written to a client."""

    def opened(self, number: int) -> Pool:
        """What waits for orders in the worker of this number, which is this process from now on."""
        mailbox = self.homes.move_in(number)
        count = ConnectionCount(SharedCounts(1), 0, 0)  # those who order are counted

        def serve(connection: Connection) -> None:
            serve_order(connection, self.options, self.timeout)

        return Pool([mailbox], serve, serve, count)


@contextmanager
def homes_of_packs(
    options: DaemonOptions, services: ServiceOptions
) -> Iterator[tuple[ServiceOptions, HomesOfPacks | None]]:
    """As long as workers run: what services are told to have their packs made there, and where that
    is; None, and no more than they were told already, where there is a single worker."""
    if options.worker_count < 2 or services.homes is not None:
        yield services, None
        return
    homes = Homes(options.worker_count)
    try:
        made = HomesOfPacks(homes, services, options.connections.timeout)
        yield services.but(homes=homes), made
    finally:
        homes.close()


def run_workers(
    options: DaemonOptions,
    serve: Serve,
    refuse: Serve,
    log: Log,
    *,
    homes: HomesOfPacks | None = None,
    on_listening: Callable[[list[socket.socket]], None] | None = None,
) -> int:
    """Serves until it is stopped, by the signal returned.

    ``homes``: where ``serve`` has packs made.

    Raises CannotListen; OSError for the pid file and the pack cache; ValueError for users
    that there are not.
    """
    wanted = credentials(options.user, options.group)
    listeners = listen(
        options.addresses,
        options.port,
        reuse_address=options.reuse_address,
        backlog=options.backlog,
    )
    for listener in listeners:
        prepare(listener, options.connections.timeout, options.connections.init_timeout)
    counts = SharedCounts(options.worker_count)
    compile_constructors()

    def work(number: int, stop: StopSignal) -> None:
        sharing.serve_only()
        sharing.share(
            memory=options.memory,
            workers=options.worker_count,
            max_waiting=options.max_waiting,
            learnt_memory=options.learnt_memory,
        )
        sharing.PROCESSORS.stay_on(number, options.worker_count)
        count = ConnectionCount(counts, number, options.connections.max_connections)
        pool = Pool(listeners, serve, refuse, count, are_prepared=True)
        pools = [pool] if homes is None else [pool, homes.opened(number)]
        for one in pools:
            one.start()
        while not stop.wait(sharing.SPARE_SECONDS):
            sharing.rest()
        if homes is not None:
            homes.homes.move_out()
        deadline = time.monotonic() + options.grace
        for one in pools:
            one.stop(max(0.0, deadline - time.monotonic()))
        end_roll_ups()  # not by itself: a worker ends without Python's ways

    def stop_listening() -> None:
        log.line("Stopping; running transfers may finish")
        for listener in listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes every worker's threads
            listener.close()

    if options.detached:
        detach()
    if options.pid_file is not None:
        # who reads the file may stop us at once; the watcher takes the signal when it is ready
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        with open(options.pid_file, "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
    try:
        if wanted is not None:
            become(wanted)
        if options.pack_cache is not None:
            packcache.opened(options.pack_cache)  # as the user we are now; the workers share it
        addresses = [f"Listening on {shown(listener)}" for listener in listeners]
        # git's first line is the other one; before it stands only what its reader could not know
        for line in (*addresses, READY) if not options.port else (READY, *addresses):
            log.line(line)
        if on_listening is not None:
            on_listening(listeners)
        return Watcher(options.worker_count, work, log, grace=options.grace).run(
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
