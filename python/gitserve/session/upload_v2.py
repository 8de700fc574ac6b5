"""The dialogue of upload-pack in protocol version 2: commands, one after the other.

In: the client's runs of packets. Out: effects. Nothing is kept from one command to the next, so
that a stateless road differs only in who advertises and how many commands there may be.

Git's document: gitprotocol-v2.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from gitserve.errors import HangupError, PeerError
from gitserve.record import TYPE_CHECKING
from gitserve.session.config import UploadConfig
from gitserve.session.effects import (
    AddHaves,
    BeginNegotiation,
    CheckWants,
    Common,
    Dialogue,
    Effect,
    Flush,
    Framing,
    LeaveToUris,
    ListBundles,
    ListRefs,
    MeasureObjects,
    ResolveRefs,
    Send,
    SendPack,
    ShallowUpdate,
    Traced,
)
from gitserve.session.failure import Outlet, tell
from gitserve.session.fetching import (
    check_deepening,
    check_filter,
    deepen,
    fetch_facts,
    not_our_ref,
)
from gitserve.session.reading import check_count, expect_flush, read_section
from gitserve.wire import (
    acknowledgments,
    command_request,
    fetch_request,
    ls_refs,
    object_info,
    packfile_uris,
    promisor_remotes,
    shallow_info,
    sideband,
)
from gitserve.wire.acknowledgments import NAK
from gitserve.wire.capabilities import Capability, format_advertisement, sanitised_agent
from gitserve.wire.fetch_request import FetchRequest
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.packfile_uris import PackfileUri
from gitserve.wire.pktline import DELIM_PKT, FLUSH_PKT, Marker, encode, encode_all
from gitserve.wire.sideband import Band

if TYPE_CHECKING:
    from typing import Any, TypeAlias

PACKFILE = b"packfile\n"
WANTED_REFS = b"wanted-refs\n"

MAX_OFFERS = 256
"""Kept encoded: one for each repository that is asked for often, some 500 bytes each."""

_FLUSH = Flush()

_HEAD_LINES = 16
"""Lines of a request's head besides server options: each capability comes once."""


def upload_v2(config: UploadConfig) -> Dialogue:
    """Commands until the client ends; one over a stateless road."""
    outlet = Outlet()
    offer = _offer(config)
    try:
        if config.advertise_only or not config.stateless:
            yield Send(offer.advertisement)
            yield _FLUSH
            if config.advertise_only:
                return
        client = _Client()
        while (yield from _one_command(offer, outlet, client)) and not config.stateless:
            client.answered = True
    except Exception as error:
        yield from tell(error, outlet)
        raise


class _Offer:
    """What follows from a configuration alone."""

    __slots__ = ("advertisement", "commands", "config", "most_arguments", "most_in_head", "spoken")

    def __init__(self, config: UploadConfig) -> None:
        limits = config.limits
        self.config = config
        self.advertisement = _advertisement(config)
        self.commands = _commands(config)
        self.spoken = config.object_format.encode()
        self.most_in_head = limits.max_server_options + _HEAD_LINES
        self.most_arguments = max(
            limits.max_prefixes,
            limits.max_wants + limits.max_haves + limits.max_shallow + limits.max_deepen_not,
        )


_offers: dict[int, _Offer] = {}
"""By the identity of configurations, which are kept for as long."""


def _offer(config: UploadConfig) -> _Offer:
    """Made once for each configuration."""
    if config.session_id is not None:
        return _Offer(config)  # no other request's
    known = _offers.get(id(config))
    if known is None:
        if len(_offers) >= MAX_OFFERS:
            _offers.clear()
        known = _offers[id(config)] = _Offer(config)
    return known


def _advertisement(config: UploadConfig) -> bytes:
    """Version and capabilities, in git's order."""
    features = b"shallow wait-for-done"
    if config.allow_filter:
        features += b" filter"
    if config.allow_ref_in_want:
        features += b" ref-in-want"
    if config.allow_sideband_all:
        features += b" sideband-all"
    if config.allow_packfile_uris:
        features += b" packfile-uris"
    offered: list[Capability] = [
        (b"agent", sanitised_agent(config.agent)),
        (b"ls-refs", b"unborn" if config.advertise_unborn else None),
        (b"fetch", features),
        (b"server-option", None),
        (b"object-format", config.object_format.encode()),
    ]
    if config.session_id is not None:
        offered.append((b"session-id", config.session_id))
    if config.promisor_remotes:
        offered.append((b"promisor-remote", promisor_remotes.format(config.promisor_remotes)))
    if config.advertise_object_info:
        offered.append((b"object-info", None))
    if config.advertise_bundles:
        offered.append((b"bundle-uri", None))
    return format_advertisement(offered)


class _Client:
    """The little that one command says for those after it on the same connection."""

    __slots__ = ("answered", "knows_promisors")

    def __init__(self) -> None:
        self.answered = False
        """It has had an answer."""
        self.knows_promisors = False
        """It gets what we lack elsewhere; clients say so once."""


def _one_command(offer: _Offer, outlet: Outlet, client: _Client) -> Generator[Effect, Any, bool]:
    """``False`` when the client has ended."""
    config, limits = offer.config, offer.config.limits
    try:
        head = yield from read_section(offer.most_in_head, limits.max_section_bytes)
    except HangupError:
        if client.answered:
            return False  # it has what it came for; git minds no broken rest either
        raise
    if head is None:
        return False
    lines, end = head
    if not lines and end is Marker.FLUSH:
        return False
    request = command_request.parse(
        lines,
        allow_session_id=config.session_id is not None,
        allow_promisor_remotes=bool(config.promisor_remotes),
    )
    check_count(len(request.server_options), limits.max_server_options, b"server options")
    if config.traced and request.session_id is not None:
        yield Traced("client-sid", request.session_id.decode("utf-8", "replace"))
    if request.promisor_remotes is not None:
        accepted = promisor_remotes.parse_accepted(
            request.promisor_remotes, config.promisor_remotes
        )
        client.knows_promisors = bool(accepted)
    perform = offer.commands.get(request.command)
    if perform is None:
        text = f"invalid command '{quoted(request.command)}'"
        raise PeerError(text, wire=f"serve: {text}".encode())
    if request.object_format != offer.spoken:
        raise Malformed(
            f"mismatched object format: server {config.object_format};"
            f" client {quoted(sanitised_agent(request.object_format))}"
        )
    arguments: list[bytes] = []
    if end is Marker.DELIM:
        section = yield from read_section(offer.most_arguments, limits.max_section_bytes)
        arguments = expect_flush(section, f"{request.command.decode()} arguments")
    elif end is not Marker.FLUSH:
        raise Malformed("expected flush or delimiter after capabilities")
    yield from perform(config, client, arguments, outlet)
    yield _FLUSH
    return True


def _ls_refs(
    config: UploadConfig, _client: _Client, arguments: list[bytes], _outlet: Outlet
) -> Dialogue:
    request = ls_refs.parse(arguments)
    yield ListRefs(
        request.prefixes,
        peel=request.peel,
        symrefs=request.symrefs,
        unborn=request.unborn and config.advertise_unborn,
    )


def _fetch(
    config: UploadConfig, client: _Client, arguments: list[bytes], outlet: Outlet
) -> Dialogue:
    if config.allow_sideband_all and any(line[:12] == b"sideband-all" for line in arguments):
        # Before anything can be wrong: from now on the client takes everything for a band.
        outlet.into_band(Framing.SIDE_BAND_64K)
    request = fetch_request.parse(
        arguments,
        config.hex_length,
        allow_filter=config.allow_filter,
        allow_sideband_all=config.allow_sideband_all,
        allow_ref_in_want=config.allow_ref_in_want,
        allow_packfile_uris=config.allow_packfile_uris,
    )
    _check(config, request)
    if config.traced:
        yield Traced("fetch-info", _facts(request))
    wanted_refs: dict[bytes, bytes] = {}
    if request.want_refs:
        wanted_refs = yield from _wanted_refs(request)
    wants = tuple(dict.fromkeys((*request.wants, *wanted_refs.values())))
    if not wants and not request.wait_for_done:
        return  # git answers nothing to those who want nothing.
    if request.wants:
        refused: bytes | None = yield CheckWants(
            request.wants, config.v2_reach, config.allow_tip_sha1_in_want
        )
        if refused is not None:
            raise not_our_ref(refused)
    frame = _banded if request.sideband_all else encode

    server_shallow: bool = yield BeginNegotiation(wants, request.shallow)
    answer: list[bytes] = []
    if request.haves:
        common: Common = yield AddHaves(request.haves)
        if not request.done:
            ready = common.ready and not request.wait_for_done
            answer += [frame(line) for line in _acknowledgments(common, ready=ready)]
            if not ready:
                answer.append(FLUSH_PKT)
                yield Send(b"".join(answer))
                return
            answer.append(DELIM_PKT)

    update = ShallowUpdate()
    if request.deepening.wanted or request.shallow or server_shallow:
        if request.deepening.wanted or server_shallow:
            update = yield from deepen(wants, request.shallow, request.deepening)
        lines = shallow_info.format_lines(update.shallow, update.unshallow)
        answer += [frame(line) for line in (shallow_info.SECTION, *lines)]
        answer.append(DELIM_PKT)

    if wanted_refs:
        answer.append(frame(WANTED_REFS))
        answer += [frame(b"%b %b\n" % (value, name)) for name, value in wanted_refs.items()]
        answer.append(DELIM_PKT)

    pack = SendPack(
        wants=wants,
        client_shallow=request.shallow,
        shallow_update=update,
        filter_spec=request.filter_spec,
        thin=request.thin_pack,
        ofs_delta=request.ofs_delta,
        include_tag=request.include_tag,
        progress=not request.no_progress,
        framing=Framing.SIDE_BAND_64K,
        sideband_all=request.sideband_all,
        leave_missing=client.knows_promisors,
    )
    if request.packfile_uris and request.sideband_all:
        # as git: a client that does not demultiplex everything gets everything in the pack
        places: Sequence[PackfileUri] = yield LeaveToUris(pack, request.packfile_uris)
        if places:
            lines = packfile_uris.format_lines(places)
            answer += [frame(line) for line in (packfile_uris.SECTION, *lines)]
            answer.append(DELIM_PKT)
    answer.append(frame(PACKFILE))
    yield Send(b"".join(answer))
    outlet.into_band(Framing.SIDE_BAND_64K)
    yield pack
    yield Send(FLUSH_PKT)
    outlet.back_to_lines()


def _wanted_refs(request: FetchRequest) -> Generator[Effect, Any, dict[bytes, bytes]]:
    """Their values. Raises :class:`Malformed` for one that the client may not see."""
    values: Sequence[bytes | None] = yield ResolveRefs(request.want_refs)
    found: dict[bytes, bytes] = {}
    for name, value in zip(request.want_refs, values, strict=True):
        if value is None:
            raise Malformed(f"unknown ref {quoted(name)}")
        found[name] = value
    return found


def _object_info(
    config: UploadConfig, _client: _Client, arguments: list[bytes], _outlet: Outlet
) -> Dialogue:
    request = object_info.parse(arguments, config.hex_length)
    check_count(len(request.ids), config.limits.max_wants, b"oids")
    sizes: Sequence[int | None] = ()
    if request.size:
        sizes = yield MeasureObjects(request.ids)
    yield Send(encode_all(object_info.format_lines(request, sizes)) + FLUSH_PKT)


def _bundle_uri(
    _config: UploadConfig, _client: _Client, arguments: list[bytes], _outlet: Outlet
) -> Dialogue:
    if arguments:
        raise Malformed(f"bundle-uri: unexpected argument: '{quoted(arguments[0])}'")
    lines: Sequence[bytes] = yield ListBundles()
    yield Send(encode_all(lines) + FLUSH_PKT)


_Command: TypeAlias = "Callable[[UploadConfig, _Client, list[bytes], Outlet], Dialogue]"


def _commands(config: UploadConfig) -> dict[bytes, _Command]:
    """Those that are offered here."""
    offered: dict[bytes, _Command] = {b"ls-refs": _ls_refs, b"fetch": _fetch}
    if config.advertise_object_info:
        offered[b"object-info"] = _object_info
    if config.advertise_bundles:
        offered[b"bundle-uri"] = _bundle_uri
    return offered


def _facts(request: FetchRequest) -> dict[str, object]:
    return fetch_facts(
        wants=len(request.wants),
        want_refs=len(request.want_refs),
        haves=len(request.haves),
        shallows=len(request.shallow),
        deepening=request.deepening,
        spec=request.filter_spec,
    )


def _check(config: UploadConfig, request: FetchRequest) -> None:
    limits = config.limits
    check_count(len(request.wants) + len(request.want_refs), limits.max_wants, b"wants")
    check_count(len(request.haves), limits.max_haves, b"haves")
    check_count(len(request.shallow), limits.max_shallow, b"shallow lines")
    check_deepening(request.deepening, limits)
    check_filter(request.filter_spec, config.filter_rules)


def _acknowledgments(common: Common, *, ready: bool) -> list[bytes]:
    """The payloads of that section."""
    payloads = [acknowledgments.SECTION]
    acks = [acknowledgments.format(object_id) for object_id in common.common]
    payloads += acks or [NAK]
    if ready:
        payloads.append(acknowledgments.READY)
    return payloads


def _banded(payload: bytes) -> bytes:
    return sideband.encode(Band.DATA, payload)
