"""The operator's program that is asked before each request: git-daemon(1), ``--access-hook``.

In: which service on which repository, under which name, for whom. Out: None, or why not. It is
called with service, repository, host, canonical host, address and port, and finds the client in
``REMOTE_ADDR`` and ``REMOTE_PORT``. One that cannot be run, or does not end, refuses.
"""

from __future__ import annotations

import os
from contextlib import suppress

from gitserve.service.process import ProgramTimeout, aside, run_program
from gitserve.transport.hostnames import HostNames

TIMEOUT = 60.0
"""Seconds. A client waits for it, and so does a thread of ours."""

MAX_REASON = 1000
"""Bytes of its one line; what follows is read and left."""

REJECTED = b"service rejected"


def ask_access_hook(
    program: str, service: str, folder: str, names: HostNames | None, peer: object
) -> bytes | None:
    """The reason to refuse, None when it allows."""
    said = bytearray()

    def keep(piece: bytes) -> None:
        if len(said) < MAX_REASON:
            said.extend(piece[: MAX_REASON - len(said)])

    host = ("", "", "", "") if names is None else (
        names.host, names.canonical, names.address, names.port,
    )  # fmt: skip
    try:
        status = run_program(
            [program, service, folder, *host],
            cwd=os.getcwd(),
            environ={**os.environ, **remote_environ(peer)},
            stdin=b"",
            on_output=keep,
            on_error_output=aside,  # for the operator, never for the client
            timeout=TIMEOUT,
        )
    except (OSError, ProgramTimeout):
        return REJECTED
    if not status:
        return None
    line = bytes(said).partition(b"\n")[0].strip()
    return line or REJECTED


def remote_environ(peer: object) -> dict[str, str]:
    """``REMOTE_ADDR`` and ``REMOTE_PORT`` of a socket's other end; IPv6 in brackets, as git."""
    with suppress(TypeError, ValueError, IndexError):
        if isinstance(peer, tuple):
            host, port = str(peer[0]), str(peer[1])
            return {"REMOTE_ADDR": f"[{host}]" if ":" in host else host, "REMOTE_PORT": port}
    return {}
