"""The dialogue of upload-pack in protocol versions 0 and 1.

In: the client's runs of packets. Out: effects. Advertisement; wants; shallow boundary; haves and
their acknowledgments in one of three manners; pack. Over a stateless road each round is a dialogue
of its own that ends where the client must speak again.

Git's document: gitprotocol-pack; gitprotocol-capabilities.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import IntEnum

from gitserve.errors import HangupError, PeerError
from gitserve.record import TYPE_CHECKING
from gitserve.session.config import UploadConfig
from gitserve.session.effects import (
    AddHaves,
    AdvertiseRefs,
    Agreed,
    BeginNegotiation,
    CheckWants,
    Common,
    Dialogue,
    Effect,
    Flush,
    Framing,
    Read,
    Send,
    SendPack,
    ShallowUpdate,
    Traced,
    WantReach,
)
from gitserve.session.failure import Outlet, tell
from gitserve.session.fetching import (
    check_deepening,
    check_filter,
    deepen,
    fetch_facts,
    not_our_ref,
)
from gitserve.session.reading import TooMuch, check_count, expect_flush, read_section
from gitserve.wire import acknowledgments, haves, shallow_info, upload_request
from gitserve.wire.acknowledgments import NAK, AckStatus
from gitserve.wire.capabilities import Capability, format_capabilities, sanitised_agent
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import FLUSH_PKT, Marker, Run, encode_all
from gitserve.wire.protocol_version import VERSION_1
from gitserve.wire.upload_request import UploadRequest

if TYPE_CHECKING:
    from typing import Any

_ALWAYS: tuple[Capability, ...] = tuple(
    (name, None)
    for name in (
        b"multi_ack",
        b"thin-pack",
        b"side-band",
        b"side-band-64k",
        b"ofs-delta",
        b"shallow",
        b"deepen-since",
        b"deepen-not",
        b"deepen-relative",
        b"no-progress",
        b"include-tag",
        b"multi_ack_detailed",
    )
)


class Manner(IntEnum):
    """How haves are acknowledged."""

    SINGLE = 0
    """The first common one only."""
    MULTI = 1
    """multi_ack: each common one, and every one once there are enough."""
    DETAILED = 2
    """multi_ack_detailed: and which of the two it is."""


def upload_v0(config: UploadConfig, *, version: int = 0) -> Dialogue:
    """``version`` 1 differs by one packet in front of the advertisement."""
    outlet = Outlet()
    try:
        yield from _upload(config, version, outlet)
    except Exception as error:
        yield from tell(error, outlet)
        raise


def capabilities(config: UploadConfig) -> bytes:
    """What is advertised behind the first ref's NUL, in git's order."""
    offered = list(_ALWAYS)
    anything = config.allow_any_sha1_in_want
    if config.allow_tip_sha1_in_want or anything:
        offered.append((b"allow-tip-sha1-in-want", None))
    if config.allow_reachable_sha1_in_want or anything:
        offered.append((b"allow-reachable-sha1-in-want", None))
    if config.stateless or config.advertise_only:
        # It saves a request there; on a connection it would race with haves on their way.
        offered.append((b"no-done", None))
    offered += [(b"symref", b"%b:%b" % symref) for symref in config.symrefs]
    if config.allow_filter:
        offered.append((b"filter", None))
    if config.session_id is not None:
        offered.append((b"session-id", config.session_id))
    offered.append((b"object-format", config.object_format.encode()))
    offered.append((b"agent", sanitised_agent(config.agent)))
    return format_capabilities(offered)


def _upload(config: UploadConfig, version: int, outlet: Outlet) -> Dialogue:
    if config.advertise_only or not config.stateless:
        if version == 1:
            yield Send(VERSION_1)
        yield AdvertiseRefs(capabilities(config))
        yield Flush()
        if config.advertise_only:
            return
    limits = config.limits
    section = yield from read_section(
        limits.max_wants + limits.max_shallow + limits.max_deepen_not, limits.max_section_bytes
    )
    if section is None:
        return  # The client has seen the refs, and wants nothing.
    request = upload_request.parse(expect_flush(section, "wants"), config.hex_length)
    if not request.wants:
        return
    yield Agreed(request.capabilities)
    _check(config, request)
    if config.traced:
        facts = fetch_facts(
            wants=len(request.wants),
            shallows=len(request.shallow),
            deepening=request.deepening,
            spec=request.filter_spec,
        )
        yield Traced("fetch-info", facts)
    refused: bytes | None = yield CheckWants(
        request.wants, _reach(config), config.allow_tip_sha1_in_want
    )
    if refused is not None:
        raise not_our_ref(refused)

    update = ShallowUpdate()
    if request.deepening.wanted:
        update = yield from deepen(request.wants, request.shallow, request.deepening)
        lines = shallow_info.format_lines(update.shallow, update.unshallow)
        yield Send(encode_all(lines) + FLUSH_PKT)
        yield Flush()

    boundary = dict.fromkeys((*request.shallow, *update.shallow))
    for commit_id in update.unshallow:
        boundary.pop(commit_id, None)
    yield BeginNegotiation(request.wants, request.shallow, update.unshallow, tuple(boundary))
    if not (yield from _negotiate(config, request)):
        yield Flush()
        return

    listed = request.capabilities
    framing = Framing.NONE
    if b"side-band-64k" in listed:
        framing = Framing.SIDE_BAND_64K
    elif b"side-band" in listed:
        framing = Framing.SIDE_BAND
    outlet.into_band(framing)
    yield SendPack(
        wants=request.wants,
        client_shallow=request.shallow,
        shallow_update=update,
        filter_spec=request.filter_spec,
        thin=b"thin-pack" in listed,
        ofs_delta=b"ofs-delta" in listed,
        include_tag=b"include-tag" in listed,
        progress=b"no-progress" not in listed,
        framing=framing,
    )
    outlet.close()
    if framing is not Framing.NONE:
        yield Send(FLUSH_PKT)
    yield Flush()


def _check(config: UploadConfig, request: UploadRequest) -> None:
    limits = config.limits
    check_count(len(request.wants), limits.max_wants, b"wants")
    check_count(len(request.shallow), limits.max_shallow, b"shallow lines")
    check_deepening(request.deepening, limits)
    spoken = request.capabilities.get(b"object-format") or b"sha1"
    if b"object-format" in request.capabilities and spoken != config.object_format.encode():
        raise PeerError(
            "client speaks another object format",
            wire=b"mismatched object format: server %b; client %b"
            % (config.object_format.encode(), sanitised_agent(spoken)),
        )
    if request.filter_spec is not None and not (
        config.allow_filter and b"filter" in request.capabilities
    ):
        raise Malformed("git upload-pack: filtering capability not negotiated")
    check_filter(request.filter_spec, config.filter_rules)


def _reach(config: UploadConfig) -> WantReach:
    if config.allow_any_sha1_in_want:
        return WantReach.ANY
    if config.allow_reachable_sha1_in_want or config.stateless:
        return WantReach.REACHABLE
    return WantReach.TIPS


def _negotiate(config: UploadConfig, request: UploadRequest) -> Generator[Effect, Any, bool]:
    """Answers haves until a pack is due. ``False`` when the client must come again for it."""
    manner = Manner.SINGLE
    if b"multi_ack_detailed" in request.capabilities:
        manner = Manner.DETAILED
    elif b"multi_ack" in request.capabilities:
        manner = Manner.MULTI
    no_done = b"no-done" in request.capabilities
    answers = _Answers(manner)
    count = 0
    while True:
        run: Run | None = yield Read()
        if run is None:
            if config.stateless:
                return False
            raise HangupError("input ended before the client was done")
        said, fault = haves.parse_as_far(run.lines, config.hex_length)
        count += len(run.lines)
        if count > config.limits.max_haves_streamed:
            raise TooMuch(f"more than {count} haves", wire=b"too many haves")
        packets: list[bytes] = []
        if said.ids:
            common: Common = yield AddHaves(
                tuple(said.ids), find_ready_at=manner is not Manner.SINGLE and not answers.ready
            )
            packets = answers.to_haves(said.ids, common)
        if fault is not None:
            if packets:
                yield Send(encode_all(packets))
                yield Flush()
            raise fault
        if said.done:
            packets += answers.to_done()
            yield Send(encode_all(packets))
            return True
        if run.end is Marker.FLUSH:
            packets += answers.to_flush()
            if no_done and answers.sent_ready:
                packets += answers.to_done()
                yield Send(encode_all(packets))
                return True
        elif run.end is not None:
            raise Malformed("git upload-pack: expected SHA1 list, got a delimiter")
        # There are clients that never flush, and read whatever has come while they speak.
        if packets:
            yield Send(encode_all(packets))
            yield Flush()
        if run.end is Marker.FLUSH and config.stateless:
            return False


class _Answers:
    """Which lines are due, from what has been acknowledged so far.

    ===========  ======================  =======================  ================
    manner       common have             other have, once ready   flush
    ===========  ======================  =======================  ================
    single       ACK id, the first only  -                        NAK before that
    multi        ACK id continue         ACK id continue          NAK
    detailed     ACK id common           ACK id ready             NAK
    ===========  ======================  =======================  ================
    """

    __slots__ = ("_last", "_manner", "_round_common", "_round_other", "ready", "sent_ready")

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._last: bytes | None = None
        self._round_common = False
        self._round_other = False
        self.ready = False
        self.sent_ready = False

    def to_haves(self, ids: list[bytes], reply: Common) -> list[bytes]:
        """Payloads for each have in turn, wherever the client's packets were cut."""
        known = frozenset(reply.common)
        ready_at = 0 if self.ready else reply.ready_at
        self.ready = self.ready or reply.ready
        payloads: list[bytes] = []
        for index, have in enumerate(ids):
            if have in known:
                first = self._last is None
                self._last = have
                self._round_common = True
                if self._manner is Manner.DETAILED:
                    payloads.append(acknowledgments.format(have, AckStatus.COMMON))
                elif self._manner is Manner.MULTI:
                    payloads.append(acknowledgments.format(have, AckStatus.CONTINUE))
                elif first:
                    payloads.append(acknowledgments.format(have))
            else:
                self._round_other = True
                if self._manner is Manner.SINGLE or ready_at is None or index < ready_at:
                    continue
                if self._manner is Manner.DETAILED:
                    self.sent_ready = True
                    payloads.append(acknowledgments.format(have, AckStatus.READY))
                else:
                    payloads.append(acknowledgments.format(have, AckStatus.CONTINUE))
        return payloads

    def to_flush(self) -> list[bytes]:
        """Payloads at the end of a round."""
        payloads: list[bytes] = []
        if (
            self._manner is Manner.DETAILED
            and self.ready
            and self._round_common
            and not self._round_other
            and self._last is not None
        ):
            # Nothing else in this round could say so.
            self.sent_ready = True
            payloads.append(acknowledgments.format(self._last, AckStatus.READY))
        if self._last is None or self._manner is not Manner.SINGLE:
            payloads.append(NAK)
        self._round_common = False
        self._round_other = False
        return payloads

    def to_done(self) -> list[bytes]:
        """The payload in front of the pack; none when the client has had its one ACK."""
        if self._last is None:
            return [NAK]
        if self._manner is Manner.SINGLE:
            return []
        return [acknowledgments.format(self._last)]
