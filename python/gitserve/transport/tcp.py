"""The git:// daemon: git-daemon(1)'s protocol and options.

In: connections. Out: a service each, one log line each. Git's document: gitprotocol-pack, "Git
Transport". Must not know what is negotiated; :mod:`gitserve.service.requests` is called for that.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache

from gitserve.errors import GitServeError, PeerError, Refused
from gitserve.options import ConnectionOptions, DaemonOptions
from gitserve.policy import Request
from gitserve.record import Record
from gitserve.repository.native import NativeRepository
from gitserve.service.permission import NotPermitted, admit
from gitserve.service.requests import (
    Manner,
    ServiceOptions,
    serve_archive,
    serve_receive,
    serve_upload,
)
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.session.failure import client_text
from gitserve.transport.accesshook import ask_access_hook
from gitserve.transport.admission import Admission
from gitserve.transport.exports import Exports, NotExported
from gitserve.transport.hostnames import HostNames
from gitserve.transport.listen import shown_address
from gitserve.transport.log import Log
from gitserve.transport.pool import Connection
from gitserve.transport.services import (
    DEFAULT_SERVICES,
    UPLOAD_ARCHIVE,
    UPLOAD_PACK,
    ServiceRule,
)
from gitserve.transport.streams import ClientStream, SocketStream
from gitserve.transport.workers import (
    homes_of_packs,
    import_services,
    opened_log,
    options_of_services,
    run_workers,
)
from gitserve.wire import error_line, proto_request
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.proto_request import ProtoRequest

BUSY = b"the server is busy; please try again later"

DENIED = b"access denied or repository not exported"
"""What a client hears, whatever the reason is: git-daemon(1), --informative-errors."""

REFUSING_SECONDS = 1.0
"""For telling one client too many so; it must not keep a thread from others."""


REMEMBERED = 256
"""Paths as the log shows them, each at most one packet long."""


class Daemon(Record):
    """What is served, and how. Serves any number of connections at once."""

    find: Callable[[bytes, HostNames | None], NativeRepository]
    """From a requested path, and the name we are called by, to a repository.

    Raises :class:`NotExported`.
    """
    services: Mapping[str, ServiceRule]
    options: ServiceOptions
    connections: ConnectionOptions
    log: Log
    informative_errors: bool = False
    access_hook: str | None = None

    def serve(self, connection: Connection) -> None:
        """One connection, from its first packet to its last. Raises nothing."""
        well = False
        try:
            well = self._serve(connection)
        except GitServeError as error:
            self.log.line(f"{shown_address(connection.peer)} {error}")
        except Exception as error:  # noqa: BLE001 - a bug of ours ends one connection, not all
            self.log.line(f"{shown_address(connection.peer)} {type(error).__name__}: {error}")
        self.log.detail("Disconnected" if well else "Disconnected (with error)")

    def refuse(self, connection: Connection) -> None:
        """One client more than may be."""
        self.log.line(f"{shown_address(connection.peer)} refused: too many connections")
        with suppress(GitServeError):
            stream = SocketStream(connection.socket, REFUSING_SECONDS)
            stream.write(error_line.format(BUSY))

    def _serve(self, connection: Connection) -> bool:
        if self.log.verbose:
            self.log.detail(f"Connection from {shown_address(connection.peer)}")
        limits = self.connections
        stream = SocketStream(
            connection.socket,
            limits.timeout,
            limits.init_timeout,
            is_prepared=connection.is_prepared,
        )
        return self.serve_on(stream, connection.peer, connection)

    def serve_on(
        self, stream: ClientStream, peer: object, connection: Connection | None = None
    ) -> bool:
        """One client over any stream; did all go well? Raises what went wrong before there was a
        request."""
        begun = time.perf_counter()
        conversation = Conversation(stream, stream, stream.fileno())
        try:
            request = self._read_request(conversation)
        except Malformed as error:
            conversation.write(error_line.format(str(error).encode("utf-8", "replace")))
            conversation.flush()
            stream.drain()
            raise
        if request is None:
            return False  # somebody looks whether we are there
        if connection is not None:
            connection.asked = True
        stream.expect_within(0)
        tally = Tally()
        result = "ok"
        try:
            self._run(request, conversation, tally, peer)
        except GitServeError as error:
            result = _shown_error(error)
            _tell_if_silent(conversation, error)
        except Exception as error:  # noqa: BLE001 - as in serve, but with the request's line
            result = f"failed: {type(error).__name__}: {error}"
            _tell_if_silent(conversation, error)
        for warning in tally.warnings:
            self.log.line(f"warning: {warning}")
        if tally.remembered:
            self.log.detail(tally.remembered)
        well = result == "ok" and not tally.trouble
        result = tally.outcome(result)
        self.log.line(_request_line(peer, request, result, conversation, tally, begun))
        if not well:
            stream.drain()
        return well

    def _read_request(self, conversation: Conversation) -> ProtoRequest | None:
        run = conversation.read_packet()
        if run is None:
            return None
        if not isinstance(run, bytes):
            raise Malformed("invalid request: an empty packet")
        return proto_request.parse(run)

    def _run(
        self, request: ProtoRequest, conversation: Conversation, tally: Tally, peer: object
    ) -> None:
        if self.log.verbose:
            if request.host is not None:
                self.log.detail(f'Extended attribute "host": {quoted(request.host)}')
            if request.parameters:
                protocol = quoted(b":".join(request.parameters))
                self.log.detail(f'Extended attribute "protocol": {protocol}')
            name = quoted(request.service.removeprefix(b"git-"))
            self.log.detail(f"Request {name} for '{quoted(request.path)}'")
        try:
            service, repository, manner = self._admit(request, peer)
        except NotPermitted as error:
            told = DENIED + b": " + request.path if error.told is None else error.told
            conversation.write(error_line.format(told))
            conversation.flush()
            raise
        except (NotExported, Refused) as error:
            brief = error.brief if isinstance(error, NotExported) else b"service not enabled"
            told = brief if self.informative_errors else DENIED
            conversation.write(error_line.format(told + b": " + request.path))
            conversation.flush()
            raise
        except GitServeError:
            conversation.write(error_line.format(DENIED + b": " + request.path))
            conversation.flush()
            raise
        if service == UPLOAD_PACK:
            serve_upload(repository, conversation, manner, self.options, tally)
        elif service == UPLOAD_ARCHIVE:
            serve_archive(repository, conversation, manner.hidden)
        else:
            serve_receive(repository, conversation, manner, self.options, tally)

    def _admit(self, request: ProtoRequest, peer: object) -> tuple[str, NativeRepository, Manner]:
        """Service and repository, if this client may have them, and how he is spoken to."""
        name = os.fsdecode(request.service).removeprefix("git-")
        rule = self.services.get(name)
        if rule is None or not request.service.startswith(b"git-") or not rule.possible:
            raise Refused(f"service not enabled: {name}")
        try:
            names = None if request.host is None else HostNames(request.host)
        except ValueError as error:
            raise NotExported(f"'{quoted(request.host or b'')}': {error}") from error
        repository = self.find(request.path, names)
        if not rule.allows(name, repository.config):
            raise Refused(f"service not enabled: {name}")
        if self.access_hook is not None:
            reason = ask_access_hook(self.access_hook, name, repository.git_dir, names, peer)
            if reason is not None:
                raise NotExported(f"access hook: {quoted(reason)}", reason)
        if self.options.policy is None:
            return name, repository, Manner(request.version)
        asking = _asking(name, repository, peer)
        hidden = admit(self.options.policy, asking)
        return name, repository, Manner(request.version, request=asking, hidden=hidden)


def _asking(service: str, repository: NativeRepository, peer: object) -> Request:
    address = str(peer[0]) if isinstance(peer, tuple) and peer else None
    return Request(service, repository.git_dir, "git", address=address)


def _tell_if_silent(conversation: Conversation, error: Exception) -> None:
    """What went wrong before the session began, which tells the client of all that comes later."""
    if conversation.sent:
        return
    with suppress(GitServeError):
        conversation.write(error_line.format(client_text(error)))
        conversation.flush()


def _shown_error(error: GitServeError) -> str:
    if isinstance(error, Refused):
        return f"refused: {error}"
    if isinstance(error, PeerError):
        return f"client failed: {error}"
    return f"failed: {type(error).__name__}: {error}"


def _request_line(
    peer: object,
    request: ProtoRequest,
    result: str,
    conversation: Conversation,
    tally: Tally,
    begun: float,
) -> str:
    seconds = time.perf_counter() - begun
    pushed = f" updated={tally.updated} refused={tally.refused}" if tally.commanded else ""
    return (
        f"{shown_address(peer)} {_shown(request.service, request.path)}"
        f" v{request.version}: {result}; objects={tally.objects}{pushed}"
        f" sent={conversation.sent} received={conversation.received} seconds={seconds:.3f}"
    )


@lru_cache(REMEMBERED)
def _shown(service: bytes, path: bytes) -> str:
    return f"{quoted(service)} '{quoted(path)}'"


def made_daemon(
    options: DaemonOptions,
    exports: Exports,
    services: Mapping[str, ServiceRule] | None,
    service_options: ServiceOptions | None,
    log: Log,
    upkeep: str = "thread",
) -> Daemon:
    """What :func:`run_daemon` runs; and what serves one connection that somebody else took.

    ``upkeep``: who does it behind a push, unless ``service_options`` says so.
    """
    return Daemon(
        find=Admission(exports).open,
        services=DEFAULT_SERVICES if services is None else services,
        options=service_options or options_of_services(options, upkeep),
        connections=options.connections,
        log=log,
        informative_errors=options.informative_errors,
        access_hook=options.access_hook,
    )


def run_daemon(
    options: DaemonOptions,
    exports: Exports,
    services: Mapping[str, ServiceRule] | None = None,
    service_options: ServiceOptions | None = None,
    *,
    on_listening: Callable[[list[socket.socket]], None] | None = None,
) -> int:
    """Serves until SIGTERM or SIGINT, which it returns. Raises as :func:`run_workers` does."""
    import_services()
    log = opened_log(options)
    service_options = service_options or options_of_services(options, "thread")
    with homes_of_packs(options, service_options) as (service_options, homes):
        daemon = made_daemon(options, exports, services, service_options, log)
        return run_workers(
            options, daemon.serve, daemon.refuse, log, homes=homes, on_listening=on_listening
        )
