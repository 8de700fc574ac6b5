"""What an operator may choose, with the reasons for what is chosen otherwise.

In: nothing. Out: frozen values. Knows nothing of what is done with them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitserve.record import TYPE_CHECKING, Record

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from gitserve.policy import Policy

Reflogs: TypeAlias = "Literal['existing', 'branches', 'all']"
"""Which reflogs are kept: those there are; those of branches, notes and HEAD; all of them."""

RefFormat: TypeAlias = "Literal['files', 'reftable']"
"""How a repository keeps its refs (``extensions.refStorage``)."""

DEFAULT_PORT = 9418
"""Of git://, assigned by IANA."""


class PackCacheOptions(Record):
    """Where packs are remembered."""

    directory: str
    """A folder of this user's alone; it is made if need be. Servers may share it."""
    size: int = 4 << 30
    """Bytes that it may take. Some hundred shallow clones, or some clones of large repositories."""


class ConnectionOptions(Record):
    """How long a client may take, and how many there may be."""

    init_timeout: float = 30.0
    """Seconds until the whole first packet is there. It is one line; a client has it ready when
    it connects."""
    timeout: float = 600.0
    """Seconds without a byte in either direction; 0 for ever. Long, because a pusher says nothing
    while it compresses, and a fetcher nothing while it looks for what it has."""
    max_connections: int = 512
    """Clients at once, over all workers; one more is told to come again. Each has a thread, whose
    cost is the kilobytes of stack it has touched. 0: no limit."""


class DaemonOptions(Record):
    """One git:// server."""

    addresses: tuple[str, ...] = ()
    """Names or numbers to listen on; empty for all, IPv4 and IPv6."""
    port: int = DEFAULT_PORT
    """0: any free one, which is logged."""
    reuse_address: bool = False
    backlog: int = 1024
    """Connections that the kernel holds for us in a burst; it cuts this to its own limit."""
    workers: int = 0
    """Processes; 0: one a processor. Python runs one thread of a process at a time."""
    threads: int = 0
    """Of the core, for one request; 0: one a processor."""
    memory: int = 0
    """Bytes that large requests, such as clones, may take together, over all workers and beside
    what is mapped from files; 0: half of the machine's. Beyond it large requests wait in line;
    small ones never do. Each worker has an equal part, for the packs that are made there."""
    learnt_memory: int | None = None
    """Bytes for what is kept of requests so that the next one need not walk or search again, over
    all workers, which do not share it; None: 384 MB each, together at most an eighth of the
    machine's. 0: nothing is kept. Over git:// a repository's packs are made in one of eight
    workers, so that it is learnt once."""
    max_waiting: int = 0
    """Large requests in that line; one more is told to come again. 0: any number. A client that
    waits is shown that the server lives, and may go away at any time."""
    pack_cache: PackCacheOptions | None = None
    """None: no pack is remembered."""
    grace: float = 10.0
    """Seconds that running transfers have when the server is told to stop."""
    pid_file: str | None = None
    verbose: bool = False
    """Log connections too, not only requests."""
    log_destination: Literal["stderr", "syslog", "none"] = "stderr"
    informative_errors: bool = False
    """Tell clients why a repository is not to be had; strangers learn from it what exists."""
    policy: Policy | None = None
    """Rules in Python, asked before each request and of each ref that a push wants to move."""
    access_hook: str | None = None
    """A program that is asked before each request on git://."""
    user: str | None = None
    """Whom to become once the sockets are there."""
    group: str | None = None
    detached: bool = False
    """Go on in the background, in a session of its own."""
    connections: ConnectionOptions = ConnectionOptions()

    @property
    def worker_count(self) -> int:
        """Processes to start."""
        return self.workers or len(os.sched_getaffinity(0))


class HookRules(Record):
    """How a repository's hooks are run."""

    timeout: float = 3600.0
    """Seconds. Hooks run test suites and deployments; one that hangs must not hold a push for
    ever."""
    environ: Mapping[str, str] | None = None
    """What they inherit; None: this process's environment."""


class HttpLimits(Record):
    """How much an HTTP request may bring, whatever its headers say."""

    max_fetch_bytes: int = 256 << 20
    """Of a fetch's request, decompressed: wants and haves, which the sessions count as well. A
    client that names 250,000 of each sends 25 MB."""
    fetch_bytes_are_final: bool = False
    """A repository's ``http.maxRequestBuffer`` changes nothing."""
    max_push_bytes: int = 0
    """Of a push, decompressed; 0: no limit but the repository's ``receive.maxInputSize``."""
    max_expansion: int = 100
    """Bytes that one byte of a gzip body may become. Lists of ids shrink to a half, packs hardly
    at all; only what was made to be a bomb gets near deflate's own limit of 1,032."""
    expansion_counts_from: int = 16 << 20
    """Bytes that are let through before the rate is looked at."""
