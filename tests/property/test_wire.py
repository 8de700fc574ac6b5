"""Every parser of the peer's bytes: what we write we read; anything else is an error of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitserve.errors import PeerError
from gitserve.wire import (
    acknowledgments,
    capabilities,
    command_request,
    error_line,
    fetch_request,
    haves,
    ls_refs,
    proto_request,
    receive_commands,
    report,
    shallow_info,
    sideband,
    upload_request,
)
from gitserve.wire.acknowledgments import Ack, AckStatus
from gitserve.wire.deepening import INFINITE_DEPTH, Deepening
from gitserve.wire.haves import Haves
from gitserve.wire.pktline import MAX_PAYLOAD, Marker, PktDecoder, Run, encode
from gitserve.wire.receive_commands import Command, ReceiveRequest
from gitserve.wire.report import CommandResult, Report
from gitserve.wire.sideband import Band
from hypothesis import given
from hypothesis import strategies as st

HEX = 40


def without(*bytes_: int, min_size: int = 1, max_size: int = 30) -> st.SearchStrategy[bytes]:
    alphabet = [c for c in range(256) if c not in bytes_]
    return st.lists(st.sampled_from(alphabet), min_size=min_size, max_size=max_size).map(bytes)


object_ids = st.text("0123456789abcdef", min_size=HEX, max_size=HEX).map(str.encode)
words = without(*b" \t\n\r\v\f\0=")
lines_of_text = without(*b"\n\0")
names = without(*b" \n\0")
unique_ids = st.lists(object_ids, unique=True, max_size=6).map(tuple)
capability_dicts = st.dictionaries(
    words, st.none() | without(*b" \t\n\r\v\f\0", min_size=0), max_size=5
)
deepenings = st.one_of(
    st.builds(Deepening, depth=st.integers(0, INFINITE_DEPTH)),
    st.builds(
        Deepening,
        since=st.none() | st.integers(1, 2**63),
        exclude=st.lists(lines_of_text, max_size=3).map(tuple),
    ),
)


def packets_of(data: bytes) -> list[bytes]:
    decoder = PktDecoder(data)
    lines: list[bytes] = []
    while (run := decoder.take_run()) is not None:
        lines += run.lines
    decoder.finish()
    return lines


# --- pktline ----------------------------------------------------------------

packets = st.lists(st.binary(max_size=50) | st.sampled_from(Marker), max_size=12)


def stream(sent: list[bytes | Marker]) -> bytes:
    return b"".join(p.value if isinstance(p, Marker) else encode(p) for p in sent)


@given(packets, st.lists(st.integers(0, 700), max_size=10), st.booleans())
def test_any_cutting_gives_the_same_packets(
    sent: list[bytes | Marker], cuts: list[int], runs: bool
) -> None:
    data = stream(sent)
    at = sorted(min(cut, len(data)) for cut in cuts)
    decoder = PktDecoder()
    got: list[Any] = []
    for start, stop in zip([0, *at], [*at, len(data)], strict=True):
        decoder.feed(data[start:stop])
        if runs:
            while (run := decoder.take_run()) is not None:
                got += [*run.lines, *([run.end] if run.end else [])]
        else:
            while isinstance(packet := decoder.next(), bytes | Marker):
                got.append(packet)
    decoder.finish()
    assert got == sent


@given(packets, st.binary(max_size=40))
def test_the_rest_is_what_follows(sent: list[bytes | Marker], rest: bytes) -> None:
    decoder = PktDecoder(stream([*sent, Marker.FLUSH]) + rest)
    for _ in range(len(sent) + 1):
        decoder.next()
    assert decoder.take_rest() == rest


@given(st.lists(st.binary(max_size=12), max_size=6))
def test_arbitrary_bytes_are_packets_or_an_error(pieces: list[bytes]) -> None:
    decoder = PktDecoder()
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (run := decoder.take_run()) is not None:
                assert isinstance(run, Run)
                assert run.lines or run.end
        decoder.finish()
    except PeerError:
        pass


# --- what we write we read --------------------------------------------------


@given(capability_dicts)
def test_capabilities(value: dict[bytes, bytes | None]) -> None:
    listed = capabilities.format_capabilities(value.items())
    assert capabilities.parse_capabilities(listed) == value


@given(
    st.builds(
        proto_request.ProtoRequest,
        words,
        without(0, 10),
        st.none() | without(0, min_size=0),
        st.lists(without(0), max_size=3).map(tuple),
    )
)
def test_proto_request(value: proto_request.ProtoRequest) -> None:
    assert proto_request.parse(proto_request.format(value)) == value


@given(
    unique_ids.filter(bool),
    capability_dicts,
    unique_ids,
    deepenings,
    st.none() | lines_of_text,
)
def test_upload_request(
    wants: tuple[bytes, ...],
    listed: dict[bytes, bytes | None],
    shallow: tuple[bytes, ...],
    deepening: Deepening,
    filter_spec: bytes | None,
) -> None:
    relative = Deepening(
        deepening.depth, deepening.since, deepening.exclude, b"deepen-relative" in listed
    )
    value = upload_request.UploadRequest(wants, listed, shallow, relative, filter_spec)
    assert upload_request.parse(packets_of(upload_request.format(value)), HEX) == value


@given(st.builds(Haves, st.lists(object_ids, max_size=6), st.booleans()))
def test_haves(value: Haves) -> None:
    assert haves.parse(packets_of(haves.format(value)), HEX) == value


@given(
    st.builds(
        ls_refs.LsRefsRequest,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.lists(without(10, min_size=0), unique=True, max_size=5).map(tuple),
    )
)
def test_ls_refs(value: ls_refs.LsRefsRequest) -> None:
    assert ls_refs.parse(ls_refs.format_arguments(value)) == value


@given(
    st.builds(
        fetch_request.FetchRequest,
        wants=unique_ids,
        haves=unique_ids,
        done=st.booleans(),
        thin_pack=st.booleans(),
        no_progress=st.booleans(),
        include_tag=st.booleans(),
        ofs_delta=st.booleans(),
        wait_for_done=st.booleans(),
        sideband_all=st.booleans(),
        shallow=unique_ids,
        deepening=deepenings,
        filter_spec=st.none() | lines_of_text,
    )
)
def test_fetch_request(value: fetch_request.FetchRequest) -> None:
    assert fetch_request.parse(fetch_request.format_arguments(value), HEX) == value


@given(
    st.builds(
        command_request.CommandRequest,
        words,
        words,
        st.none() | lines_of_text,
        st.none() | lines_of_text,
        st.lists(lines_of_text, max_size=3).map(tuple),
    ),
    st.lists(lines_of_text, max_size=3),
)
def test_command_request(value: command_request.CommandRequest, arguments: list[bytes]) -> None:
    decoder = PktDecoder(command_request.format(value, arguments))
    head, body = decoder.take_run(), decoder.take_run()
    assert head is not None
    assert head.end is Marker.DELIM
    assert command_request.parse(head.lines) == value
    assert body == Run([argument + b"\n" for argument in arguments], Marker.FLUSH)


@given(object_ids, st.sampled_from(AckStatus))
def test_acknowledgments(object_id: bytes, status: AckStatus) -> None:
    payload = acknowledgments.format(object_id, status)
    assert acknowledgments.parse(payload, HEX) == Ack(object_id, status)


@given(unique_ids, unique_ids)
def test_shallow_info(shallow: tuple[bytes, ...], unshallow: tuple[bytes, ...]) -> None:
    lines = shallow_info.format_lines(shallow, unshallow)
    assert shallow_info.parse(lines, HEX) == shallow_info.ShallowInfo(shallow, unshallow)


@given(
    st.builds(
        ReceiveRequest,
        st.lists(st.builds(Command, lines_of_text, object_ids, object_ids), min_size=1).map(tuple),
        capability_dicts,
        unique_ids,
    )
)
def test_receive_commands(value: ReceiveRequest) -> None:
    assert receive_commands.parse(packets_of(receive_commands.format(value)), HEX) == value


@given(
    st.builds(
        Report,
        st.none() | lines_of_text.filter(lambda text: text != b"ok"),
        st.lists(
            st.builds(CommandResult, names)
            | st.builds(CommandResult, names, lines_of_text)
            | st.builds(
                CommandResult, names, st.none(), st.lists(lines_of_text, max_size=2).map(tuple)
            ),
            max_size=5,
        ).map(tuple),
    )
)
def test_report(value: Report) -> None:
    data = report.format(value.unpack_error, value.results, v2=True)
    assert report.parse(packets_of(data)) == value


@given(st.sampled_from(Band), st.binary(max_size=300), st.integers(6, 100))
def test_sideband(band: Band, data: bytes, max_length: int) -> None:
    sent = packets_of(sideband.encode(band, data, max_length))
    assert all(len(payload) + 4 <= max_length for payload in sent)
    assert all(sideband.decode(payload)[0] is band for payload in sent)
    assert b"".join(sideband.decode(payload)[1] for payload in sent) == data


@given(without(*b"\r\n", min_size=0).map(bytes.rstrip))
def test_error_line(text: bytes) -> None:
    (payload,) = packets_of(error_line.format(text))
    assert error_line.parse(payload) == text


# --- arbitrary bytes --------------------------------------------------------

VERBS = st.sampled_from([
    b"want ", b"have ", b"shallow ", b"unshallow ", b"deepen ", b"deepen-since ", b"deepen-not ",
    b"deepen-relative", b"filter ", b"done", b"ref-prefix ", b"peel", b"command=", b"agent=",
    b"object-format=", b"ACK ", b"NAK", b"ok ", b"ng ", b"unpack ", b"option ", b"push-cert\0",
    b"0" * 40 + b" ", b"a" * 40, b" ", b"\0", b"\n", b"ERR ", b"1", b"host=", b"version=2",
])  # fmt: skip
garbage = st.lists(VERBS | st.binary(max_size=8) | object_ids, max_size=6).map(b"".join)
PARSERS: list[Callable[[list[bytes]], Any]] = [
    lambda lines: upload_request.parse(lines, HEX),
    lambda lines: haves.parse(lines, HEX),
    ls_refs.parse,
    lambda lines: fetch_request.parse(lines, HEX),
    command_request.parse,
    lambda lines: shallow_info.parse(lines, HEX),
    lambda lines: receive_commands.parse(lines, HEX),
    receive_commands.parse_push_options,
    report.parse,
    lambda lines: [proto_request.parse(line) for line in lines],
    lambda lines: [acknowledgments.parse(line, HEX) for line in lines],
    lambda lines: [capabilities.parse_capabilities(line) for line in lines],
    lambda lines: [sideband.decode(line) for line in lines],
    lambda lines: [error_line.parse(line) for line in lines],
]


@given(st.sampled_from(range(len(PARSERS))), st.lists(garbage, max_size=5))
def test_arbitrary_lines_are_a_value_or_the_peers_error(parser: int, lines: list[bytes]) -> None:
    try:
        PARSERS[parser](lines)
    except PeerError as error:
        told = str(error)
    else:
        told = ""
    assert len(told) < 500
    assert "\n" not in told


@given(st.binary(max_size=200_000 // 1000), st.integers(1, 700))
def test_whatever_a_command_names_can_be_reported(why: bytes, times: int) -> None:
    ref = b"r" * (MAX_PAYLOAD - 82)
    data = report.format(why * times, [CommandResult(ref, why * times or b"-")], v2=True)
    assert len(packets_of(data)) == 2
