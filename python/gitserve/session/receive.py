"""The dialogue of receive-pack.

In: the client's runs of packets. Out: effects. Advertisement; commands; push options; a pack when
any command brings something; report. It must not know what makes an update acceptable.

Git's document: gitprotocol-pack, "Pushing Data To a Server"; gitprotocol-capabilities.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitserve.errors import GitServeError, HangupError, PackError, PeerError, Refused
from gitserve.record import Record
from gitserve.session.config import ReceiveConfig
from gitserve.session.effects import (
    AdvertiseRefs,
    AfterReport,
    Agreed,
    ApplyCommands,
    Dialogue,
    Flush,
    Framing,
    Read,
    Send,
    TakePack,
    Unpacked,
)
from gitserve.session.failure import Outlet, client_text, tell
from gitserve.session.reading import check_count, expect_flush, read_section
from gitserve.wire import receive_commands, report, sideband
from gitserve.wire.capabilities import Capability, format_capabilities, sanitised_agent
from gitserve.wire.pktline import FLUSH_PKT, Run
from gitserve.wire.protocol_version import VERSION_1
from gitserve.wire.receive_commands import ReceiveRequest
from gitserve.wire.report import CommandResult
from gitserve.wire.sideband import Band

UNPACKER_ERROR = b"unpacker error"
"""git's reason for every command whose pack was not taken."""


def receive(config: ReceiveConfig, *, version: int = 0) -> Dialogue:
    """``version`` 1 differs by one packet in front of the advertisement; there is no 2."""
    outlet = Outlet()
    try:
        yield from _receive(config, version, outlet)
    except Exception as error:
        yield from tell(error, outlet)
        raise


def capabilities(config: ReceiveConfig) -> bytes:
    """What is advertised behind the first ref's NUL, in git's order."""
    offered: list[Capability] = [
        (b"report-status", None),
        (b"report-status-v2", None),
        (b"delete-refs", None),
        (b"side-band-64k", None),
        (b"quiet", None),
    ]
    if config.advertise_atomic:
        offered.append((b"atomic", None))
    if config.advertise_ofs_delta:
        offered.append((b"ofs-delta", None))
    if config.advertise_push_options:
        offered.append((b"push-options", None))
    if config.certificate_nonce is not None:
        offered.append((b"push-cert", config.certificate_nonce))
    if config.session_id is not None:
        offered.append((b"session-id", config.session_id))
    offered.append((b"object-format", config.object_format.encode()))
    offered.append((b"agent", sanitised_agent(config.agent)))
    return format_capabilities(offered)


class _Manner(Record):
    """How the client wants to hear of its push."""

    framing: Framing
    reports: bool
    v2: bool
    quiet: bool


def _receive(config: ReceiveConfig, version: int, outlet: Outlet) -> Dialogue:
    if config.advertise_only or not config.stateless:
        if version == 1:
            yield Send(VERSION_1)
        yield AdvertiseRefs(capabilities(config), receive=True)
        yield Flush()
        if config.advertise_only:
            return
    limits = config.limits
    first: Run | None = yield Read()
    if first is None:
        # A client that has nothing to push says so; one that finds it cannot only leaves.
        raise HangupError(HangupError.GONE)
    if b"side-band-64k" in receive_commands.capabilities_of(first.lines):
        # Before anything can be wrong: behind its commands the client takes everything for a band.
        outlet.into_band(Framing.SIDE_BAND_64K)
    section = yield from read_section(
        limits.max_commands + limits.max_shallow, limits.max_section_bytes, first
    )
    request = receive_commands.parse(expect_flush(section, "commands"), config.hex_length)
    manner = _manner(request)
    yield Agreed(request.capabilities)
    _check(config, request)
    if not request.commands:
        return
    options: tuple[bytes, ...] = ()
    if config.advertise_push_options and b"push-options" in request.capabilities:
        section = yield from read_section(limits.max_push_options, limits.max_section_bytes)
        options = receive_commands.parse_push_options(expect_flush(section, "push options"))

    pack_taken = False
    if not all(command.is_delete for command in request.commands):
        try:
            unpacked: Unpacked = yield TakePack(
                request.commands, request.shallow, manner.framing, manner.quiet
            )
            if unpacked.error is not None:
                raise PackError("pack not taken", wire=unpacked.error)
        except Exception as error:
            yield from _refuse_all(request, manner, client_text(error), UNPACKER_ERROR, outlet)
            if manner.reports and isinstance(error, PackError):
                return  # It has been reported: one result of a push among others.
            raise
        pack_taken = True

    if request.certificate is not None and request.certificate.push_options != options:
        yield from _refuse_all(request, manner, None, b"inconsistent push options", outlet)
        return

    try:
        results: Sequence[CommandResult] = yield ApplyCommands(
            request.commands,
            atomic=config.advertise_atomic and b"atomic" in request.capabilities,
            client_shallow=request.shallow,
            push_options=options,
            framing=manner.framing,
            quiet=manner.quiet,
            pack_taken=pack_taken,
            certificate=request.certificate,
            nonce=config.certificate_nonce or b"",
            stateless=config.stateless,
        )
    except Exception as error:
        yield from _refuse_all(request, manner, None, client_text(error), outlet)
        raise
    yield from _report(manner, None, results)
    # What follows is no longer part of the push's result.
    outlet.close()
    try:
        yield AfterReport(results, manner.framing)
    except Exception:
        yield from _end(manner)
        raise
    yield from _end(manner)


def _manner(request: ReceiveRequest) -> _Manner:
    listed = request.capabilities
    v2 = b"report-status-v2" in listed
    return _Manner(
        framing=Framing.SIDE_BAND_64K if b"side-band-64k" in listed else Framing.NONE,
        reports=v2 or b"report-status" in listed,
        v2=v2,
        quiet=b"quiet" in listed,
    )


def _check(config: ReceiveConfig, request: ReceiveRequest) -> None:
    check_count(len(request.commands), config.limits.max_commands, b"commands")
    check_count(len(request.shallow), config.limits.max_shallow, b"shallow lines")
    if request.certificate is not None and config.certificate_nonce is None:
        raise Refused("push certificate", wire=b"push certificates are not supported")
    # Clients name their format only since there are two.
    spoken = request.capabilities.get(b"object-format") or b"sha1"
    if spoken != config.object_format.encode():
        raise PeerError(
            "client speaks another object format",
            wire=b"unsupported object format '%b'" % sanitised_agent(spoken),
        )


def _report(
    manner: _Manner, unpack_error: bytes | None, results: Sequence[CommandResult]
) -> Dialogue:
    if not manner.reports:
        return
    data = report.format(unpack_error, results, v2=manner.v2)
    if manner.framing is not Framing.NONE:
        data = sideband.encode(Band.DATA, data, manner.framing.value)
    yield Send(data)
    yield Flush()


def _end(manner: _Manner) -> Dialogue:
    if manner.framing is not Framing.NONE:
        yield Send(FLUSH_PKT)
    yield Flush()


def _refuse_all(
    request: ReceiveRequest,
    manner: _Manner,
    unpack_error: bytes | None,
    reason: bytes,
    outlet: Outlet,
) -> Dialogue:
    """The report of a push none of whose commands was done."""
    if not manner.reports:
        return  # `tell` has a band for it, or nobody listens.
    outlet.close()
    results = [CommandResult(command.ref, reason) for command in request.commands]
    try:
        yield from _report(manner, unpack_error, results)
        yield from _end(manner)
    except GitServeError:
        return  # Gone: what ended the dialogue is the first error.
