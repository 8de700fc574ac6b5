"""The head of a v2 request: which command, and the capabilities the client uses with it.

In: the lines up to the delimiter or flush. Out: :class:`CommandRequest`. It must not know which
commands exist.

Git's document: gitprotocol-v2, "Command Request", "Capabilities".
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from gitserve.record import Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import DELIM_PKT, FLUSH_PKT, chomp, encode


class CommandRequest(Record):
    """One command; its arguments are a message of their own."""

    command: bytes
    object_format: bytes = b"sha1"
    """What the client assumes when it says nothing."""
    agent: bytes | None = None
    session_id: bytes | None = None
    server_options: tuple[bytes, ...] = ()
    promisor_remotes: bytes | None = None
    """The names of those that the client accepts, as sent."""


MAX_REMEMBERED = 64
"""Heads of requests. A client says the same each time, but for what it wants."""

MAX_REMEMBERED_LINES = 4
"""Command, agent and object format are three."""

MAX_REMEMBERED_LINE = 128
"""Bytes: clients choose them."""


def parse(
    lines: list[bytes], *, allow_session_id: bool = True, allow_promisor_remotes: bool = True
) -> CommandRequest:
    """Raises :class:`Malformed`, also for a capability that no server offers."""
    if len(lines) > MAX_REMEMBERED_LINES or max(map(len, lines), default=0) > MAX_REMEMBERED_LINE:
        return _parse(lines, allow_session_id, allow_promisor_remotes)
    return _remembered(tuple(lines), allow_session_id, allow_promisor_remotes)


@lru_cache(MAX_REMEMBERED)
def _remembered(
    lines: tuple[bytes, ...], allow_session_id: bool, allow_promisor_remotes: bool
) -> CommandRequest:
    return _parse(lines, allow_session_id, allow_promisor_remotes)


def _parse(
    lines: Iterable[bytes], allow_session_id: bool, allow_promisor_remotes: bool
) -> CommandRequest:
    command: bytes | None = None
    object_format = b"sha1"
    agent: bytes | None = None
    session_id: bytes | None = None
    options: list[bytes] = []
    remotes: bytes | None = None
    for raw in lines:
        line = chomp(raw)
        name, equals, value = line.partition(b"=")
        if name == b"command" and equals:
            if command is not None:
                raise Malformed(
                    f"command '{quoted(value)}' requested after already requesting "
                    f"command '{quoted(command)}'"
                )
            command = value
        elif name == b"agent":
            agent = value
        elif name == b"object-format" and equals:
            object_format = value
        elif name == b"server-option":
            options.append(value)
        elif name == b"session-id" and allow_session_id:
            session_id = value
        elif name == b"promisor-remote" and equals and allow_promisor_remotes:
            remotes = value
        else:
            raise Malformed(f"unknown capability '{quoted(line)}'")
    if command is None:
        raise Malformed("no command requested")
    return CommandRequest(command, object_format, agent, session_id, tuple(options), remotes)


def format(
    request: CommandRequest, arguments: Iterable[bytes] = (), *, names_format: bool = True
) -> bytes:
    """The whole request as pkt-lines, flush included.

    ``names_format``: a server that does not offer ``object-format`` refuses to hear of it.
    """
    packets = [encode(b"command=%b\n" % request.command)]
    if request.agent is not None:
        packets.append(encode(b"agent=%b\n" % request.agent))
    if names_format:
        packets.append(encode(b"object-format=%b\n" % request.object_format))
    if request.session_id is not None:
        packets.append(encode(b"session-id=%b\n" % request.session_id))
    if request.promisor_remotes is not None:
        packets.append(encode(b"promisor-remote=%b\n" % request.promisor_remotes))
    packets += [encode(b"server-option=%b\n" % option) for option in request.server_options]
    packets.append(DELIM_PKT)
    packets += [encode(line + b"\n") for line in arguments]
    packets.append(FLUSH_PKT)
    return b"".join(packets)
