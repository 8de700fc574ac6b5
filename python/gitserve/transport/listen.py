"""Listening sockets.

In: addresses and a port. Out: sockets that clients can connect to. Must not know what is said on
them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence


class CannotListen(Exception):
    """Not one address could be bound; the text says why."""


def listen(
    addresses: Sequence[str], port: int, *, reuse_address: bool, backlog: int
) -> list[socket.socket]:
    """One socket for each address that a name stands for; no names: everywhere, IPv4 and IPv6.

    With port 0 all of them get the same free port. Raises :class:`CannotListen` when a named
    address cannot be bound at all; of several behind one name, one is enough.
    """
    found: list[socket.socket] = []
    taken: set[tuple[int, object]] = set()
    try:
        for name in addresses or ("",):
            bound, port = _listen_on(
                name, port, taken, reuse_address=reuse_address, backlog=backlog
            )
            found += bound
    except BaseException:
        for listener in found:
            listener.close()
        raise
    return found


def shown(listener: socket.socket) -> str:
    """``host:port`` of a listening or connected socket's own end."""
    return shown_address(listener.getsockname())


def shown_address(address: object) -> str:
    """``host:port`` of an address as the socket module gives it."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address) or "local"


def _listen_on(
    name: str,
    port: int,
    taken: set[tuple[int, object]],
    *,
    reuse_address: bool,
    backlog: int,
) -> tuple[list[socket.socket], int]:
    try:
        resolved = socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise CannotListen(f"cannot listen on '{name}': {error.strerror}") from error
    bound: list[socket.socket] = []
    reason = ""
    for family, kind, protocol, _, address in resolved:
        place = (address[0], port, *address[2:])
        if (family, place) in taken:  # two names for one address
            continue
        listener = socket.socket(family, kind, protocol)
        try:
            if reuse_address:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # IPv4 has a socket of its own
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            with contextlib.suppress(OSError):  # inherited by connections: no packet waits
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listener.bind(place)
            listener.listen(backlog)
        except OSError as error:
            listener.close()
            reason = f"{shown_address(place)}: {error.strerror}"
            continue
        bound.append(listener)
        port = listener.getsockname()[1]
        taken.add((family, (address[0], port, *address[2:])))
    if not bound and reason:
        raise CannotListen(f"cannot listen on {reason}")
    return bound, port
