"""Work that nobody waits for any more: ``python -m benches leaving``.

In: options as of ``python -m benches``. Out: a line a round and server: how long it still used the
processors after the client of a first clone without bitmaps had closed its connection, in the
middle of the server's work. It ends when no CPU time is used for a while.
"""

from __future__ import annotations

import argparse
import socket
import time
from pathlib import Path

from benches import peers
from benches.conversations import Conversation
from benches.options import common, source_of, source_options
from benches.repositories import prepare
from benches.servers import Daemon
from benches.workloads import Recording

LOOK = 0.002
"""Seconds between two looks at the clock of the server's processes."""
WORKING = 0.001
"""Seconds of CPU time between two looks by which a server works: nobody else is asked anything."""
IDLE = 0.3
"""Seconds without, after which it has stopped."""
PATIENCE = 60.0
FLUSH = b"0000"


def asked(daemon: Daemon, said: Conversation) -> socket.socket:
    """A connection on which a pack has been asked for."""
    connection = socket.create_connection(daemon.address)
    *before, last = said.turns
    for turn in before:
        connection.sendall(turn)
        answer = b""
        while not answer.endswith(FLUSH):
            piece = connection.recv(1 << 16)
            if not piece:
                raise RuntimeError(f"{daemon.name} hung up")
            answer += piece
    connection.sendall(last)
    return connection


def works_on(daemon: Daemon) -> tuple[float, float]:
    """Seconds until it stops, and CPU seconds it uses until then."""
    began = last = time.perf_counter()
    first = before = daemon.cpu()
    while time.perf_counter() - last < IDLE and time.perf_counter() - began < PATIENCE:
        time.sleep(LOOK)
        now = daemon.cpu()
        if now - before >= WORKING:
            last, before = time.perf_counter(), now
    return last - began, before - first


def measure(daemon: Daemon, said: Conversation, after: float) -> str:
    """One client, which goes after so many seconds."""
    daemon.at_rest()
    start = daemon.cpu()
    with asked(daemon, said):
        time.sleep(after)
        used = daemon.cpu() - start
    wall, cpu = works_on(daemon)
    return (
        f"{daemon.name:<12} worked on for {wall * 1000:7.0f} ms, {cpu * 1000:7.0f} ms CPU,"
        f" after {used * 1000:7.0f} ms CPU"
    )


def main(words: list[str]) -> None:
    """Both servers, each begun anew for each round."""
    parser = argparse.ArgumentParser(prog="python -m benches leaving", description=__doc__)
    common(parser)
    source_options(parser)
    parser.add_argument(
        "--after", type=float, default=0.15, metavar="SECONDS", help="when the client goes"
    )
    options = parser.parse_args(words)
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    found = prepare(options.git, work, source_of(options))
    theirs, ours = peers.git_daemon(options.git), peers.gitserve(options.gitserve)
    said = Recording(found, theirs, work).clone(found.plain, 2)
    for _ in range(options.rounds):
        for peer in (theirs, ours):
            with peer.serving(found.base, work) as daemon:
                print(measure(daemon, said, options.after), flush=True)
