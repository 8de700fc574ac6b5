"""Messages as git writes them, and as nobody should."""

from __future__ import annotations

import pytest
from gitserve.wire import (
    acknowledgments,
    capabilities,
    command_request,
    error_line,
    fetch_request,
    haves,
    ls_refs,
    object_info,
    proto_request,
    protocol_version,
    receive_commands,
    report,
    shallow_info,
    sideband,
    upload_request,
)
from gitserve.wire.deepening import INFINITE_DEPTH, Deepening
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import MAX_PAYLOAD, PktDecoder
from gitserve.wire.receive_commands import Command
from gitserve.wire.report import CommandResult
from gitserve.wire.sideband import Band

A, B = b"a" * 40, b"b" * 40
ZERO = b"0" * 40


def packets(data: bytes) -> list[bytes]:
    decoder = PktDecoder(data)
    run = decoder.take_run()
    assert run is not None
    assert decoder.take_rest() == b""
    return run.lines


# --- proto_request ----------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "service", "path", "host", "version"),
    [
        (b"git-upload-pack /p.git\0host=h\0", b"git-upload-pack", b"/p.git", b"h", 0),
        (b"git-upload-pack /p\0host=h:1\0\0version=2\0", b"git-upload-pack", b"/p", b"h:1", 2),
        (b"x /p\0host=[::1]:9\0\0x=y\0version=1\0", b"x", b"/p", b"[::1]:9", 1),
        (b"git-upload-pack /p.git\0\0version=2\0", b"git-upload-pack", b"/p.git", None, 2),
        (b"git-upload-pack /p.git\0host=h\0version=2\0", b"git-upload-pack", b"/p.git", b"h", 0),
        (b"git-receive-pack /a b\n", b"git-receive-pack", b"/a b", None, 0),
        (b"git-upload-pack /p\0HOST=h", b"git-upload-pack", b"/p", b"h", 0),
        (b"git-upload-pack ~u/p\0host=h\0\0version=9\0", b"git-upload-pack", b"~u/p", b"h", 0),
    ],
)  # fmt: skip
def test_proto_request(
    payload: bytes, service: bytes, path: bytes, host: bytes | None, version: int
) -> None:
    request = proto_request.parse(payload)
    assert (request.service, request.path, request.host) == (service, path, host)
    assert request.version == version


@pytest.mark.parametrize(
    "payload",
    [b"", b"git-upload-pack", b"git-upload-pack ", b" /x", b"a /b\0junk\0", b"\0host=x\0"],
)
def test_bad_proto_requests(payload: bytes) -> None:
    with pytest.raises(Malformed):
        proto_request.parse(payload)


def test_versions() -> None:
    split = protocol_version.split_parameters
    for value, version in [
        (b"", 0), (b"version=2", 2), (b"version=1:x", 1), (b"version=1:version=2", 2),
        (b"version=3", 0), (b"version=02", 0), (b"Version=2", 0), (b"version=0", 0),
    ]:  # fmt: skip
        assert protocol_version.requested_version(split(value)) == version


# --- capabilities -----------------------------------------------------------


def test_capabilities() -> None:
    found = capabilities.parse_capabilities(b" a agent=git/2.4 b=  c=d=e a=again\n")
    assert found == {b"a": None, b"agent": b"git/2.4", b"b": b"", b"c": b"d=e"}


def test_agents_are_harmless() -> None:
    assert capabilities.sanitised_agent(b"git/2 (x)\n\0\xff") == b"git/2.(x)..."
    assert len(capabilities.sanitised_agent(b"x" * 1000)) == capabilities.AGENT_MAX


# --- upload_request ---------------------------------------------------------


def test_upload_request() -> None:
    lines = [
        b"want " + A + b" multi_ack agent=x\n",
        b"want " + B + b"\n",
        b"want " + A.upper(),
        b"shallow " + B,
        b"deepen-since 12",
        b"deepen-not refs/heads/x y\n",
        b"filter blob:none\n",
    ]
    request = upload_request.parse(lines, 40)
    assert request.wants == (A, B)
    assert request.capabilities == {b"multi_ack": None, b"agent": b"x"}
    assert request.shallow == (B,)
    assert request.deepening == Deepening(since=12, exclude=(b"refs/heads/x y",))
    assert request.filter_spec == b"blob:none"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"want " + A[:-1], "expected to get object ID, not 'want aaa"),
        (b"want " + A + b"x", "expected to get object ID"),
        (b"want " + A[:-1] + b"g", "expected to get object ID"),
        (b"want", "expected to get object ID, not 'want'"),
        (b"have " + A, "expected to get object ID, not 'have"),
        (b"", "expected to get object ID, not ''"),
        (b"shallow x", "invalid shallow line: shallow x"),
        (b"deepen 0", "Invalid deepen: deepen 0"),
        (b"deepen -1", "Invalid deepen: deepen -1"),
        (b"deepen 1 2", "Invalid deepen"),
        (b"deepen", "Invalid deepen"),
        (b"deepen " + b"9" * 5000, "Invalid deepen"),
        ("deepen ٣".encode(), "Invalid deepen"),
        (b"deepen-since x", "Invalid deepen-since"),
        (b"deepen-not", "Invalid deepen-not"),
    ],
)
def test_bad_upload_requests(line: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        upload_request.parse([b"want " + A, line], 40)


def test_contradictions() -> None:
    with pytest.raises(Malformed, match="cannot be used together"):
        upload_request.parse([b"want " + A, b"deepen 1", b"deepen-not x"], 40)
    with pytest.raises(Malformed, match="cannot be combined"):
        upload_request.parse([b"want " + A, b"filter x", b"filter x"], 40)


def test_depths_without_end_are_all_the_same() -> None:
    assert upload_request.parse([b"deepen 99999999999"], 40).deepening.depth == INFINITE_DEPTH


# --- haves ------------------------------------------------------------------


def test_haves() -> None:
    said = haves.parse([b"have " + A + b"\n", b"have " + B.upper(), b"done\n", b"junk"], 40)
    assert said == haves.Haves([A, B], True)
    assert haves.parse([], 40) == haves.Haves([], False)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"have x", "expected SHA1 object, got 'x'"),
        (b"have " + A[:-1] + b"-", "expected SHA1 object, got 'aaa"),
        (b"have " + A + b" x", "expected SHA1 object"),
        (b"want " + A, "expected SHA1 list, got 'want"),
        (b"done!", "expected SHA1 list"),
    ],
)
def test_bad_haves(line: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        haves.parse([b"have " + A, line, b"done"], 40)


# --- v2 ---------------------------------------------------------------------


def test_fetch_request() -> None:
    lines = [
        b"thin-pack\n", b"have " + A + b"\n", b"have " + A, b"want " + B.upper(), b"deepen 3",
        b"deepen-relative", b"shallow " + B, b"filter tree:0", b"wait-for-done", b"done",
    ]  # fmt: skip
    request = fetch_request.parse(lines, 40)
    assert request == fetch_request.FetchRequest(
        wants=(B,), haves=(A,), done=True, thin_pack=True, wait_for_done=True, shallow=(B,),
        deepening=Deepening(depth=3, relative=True), filter_spec=b"tree:0",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"want x", "expected to get oid, not 'want x'"),
        (b"want " + A + b" x", "expected to get oid"),
        (b"have " + A + b"\n\n", "expected SHA1 object"),
        (b"shallow x", "invalid shallow line"),
        (b"frob", "unexpected line: 'frob'"),
        (b"filter x", "unexpected line: 'filter x'"),
        (b"sideband-all", "unexpected line: 'sideband-all'"),
        (b"want-ref refs/heads/x", "unexpected line"),
        (b"packfile-uris https", "unexpected line"),
    ],
)
def test_bad_fetch_requests(line: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=words):
        fetch_request.parse(
            [b"want " + A, line], 40, allow_filter=False, allow_sideband_all=False,
            allow_ref_in_want=False, allow_packfile_uris=False,
        )  # fmt: skip


def test_wants_by_name() -> None:
    request = fetch_request.parse([b"want-ref refs/heads/x\n", b"want-ref HEAD"], 40)
    assert request.want_refs == (b"refs/heads/x", b"HEAD")
    with pytest.raises(Malformed, match="duplicate want-ref HEAD"):
        fetch_request.parse([b"want-ref HEAD\n", b"want-ref HEAD"], 40)


def test_object_info() -> None:
    request = object_info.parse([b"size\n", b"oid " + A, b"oid " + A + b"\n"], 40)
    assert request == object_info.ObjectInfoRequest((A, A), size=True)
    assert object_info.format_lines(request, [7, None]) == [b"size", A + b" 7", A + b" "]
    assert object_info.format_lines(object_info.ObjectInfoRequest((A,)), ()) == [A]
    # asked of nothing git answers nothing
    assert object_info.format_lines(object_info.ObjectInfoRequest(size=True), ()) == []
    for line in (b"oid x", b"oid", b"type", b""):
        with pytest.raises(Malformed, match="object-info: "):
            object_info.parse([line], 40)


def test_ls_refs_repeats_cost_nothing() -> None:
    request = ls_refs.parse([b"ref-prefix a\n"] * 1000 + [b"peel", b"unborn\n"])
    assert request == ls_refs.LsRefsRequest(peel=True, unborn=True, prefixes=(b"a",))


def test_command_request() -> None:
    lines = [
        b"command=fetch\n", b"agent=x=y\n", b"object-format=sha256", b"server-option=a",
        b"server-option=b\n", b"session-id=s",
    ]  # fmt: skip
    request = command_request.parse(lines)
    assert request == command_request.CommandRequest(
        b"fetch", b"sha256", b"x=y", b"s", (b"a", b"b")
    )
    for wrong in ([b"agent=x"], [b"command"], [b"frob"], [b"command=a", b"command=a"], []):
        with pytest.raises(Malformed):
            command_request.parse(wrong)


# --- answers ----------------------------------------------------------------


def test_acknowledgments() -> None:
    assert acknowledgments.parse(b"NAK\n", 40) is None
    for wrong in (b"ACK", b"ACK " + A + b" later", b"ACK " + A[1:], b"NACK", b"ACK" + A):
        with pytest.raises(Malformed):
            acknowledgments.parse(wrong, 40)


def test_shallow_info() -> None:
    assert shallow_info.format_lines([A], [B]) == [b"shallow " + A, b"unshallow " + B]
    with pytest.raises(Malformed):
        shallow_info.parse([b"shallow"], 40)


def test_sideband_cuts_to_the_client_s_size() -> None:
    data = b"x" * 2500
    sent = packets(sideband.encode(Band.PROGRESS, data, 1000))
    assert [len(p) for p in sent] == [996, 996, 511]
    assert b"".join(sideband.decode(p)[1] for p in sent) == data
    assert sideband.encode(Band.DATA, b"") == b""
    for wrong in (b"", b"\0x", b"\4x", b"ERR x"):
        with pytest.raises(Malformed):
            sideband.decode(wrong)


def test_error_lines_are_lines() -> None:
    assert error_line.format(b"a\nb\r\n") == b"000bERR a b"
    assert len(error_line.format(b"x" * 100_000)) == 8 + error_line.TEXT_MAX
    assert error_line.parse(b"ERR no\n") == b"no"
    assert error_line.parse(b"NAK\n") is None


def test_reports_fit_into_packets() -> None:
    long = b"refs/heads/" + b"x" * (MAX_PAYLOAD - 82 - 11)  # as long as a command can name
    results = [
        CommandResult(long), CommandResult(long, b"why " * 100), CommandResult(b"r", b"a\nb"),
        CommandResult(b"s", None, (b"o" * 70000,)),
    ]  # fmt: skip
    lines = packets(report.format(None, results, v2=True))
    assert lines[1] == b"ok " + long + b"\n"
    assert lines[2].startswith(b"ng " + long + b" why why")
    assert lines[3] == b"ng r a b\n"
    assert max(map(len, lines)) == MAX_PAYLOAD
    assert len(lines) == 6


# --- receive_commands -------------------------------------------------------


def test_receive_commands() -> None:
    lines = [
        b"shallow " + B + b"\n",
        ZERO + b" " + A + b" refs/heads/a b\0 report-status agent=x\n",
        A.upper() + b" " + ZERO + b" refs/heads/c\n",
        A + b" " + B + b" refs/heads/d\0ignored",
    ]
    request = receive_commands.parse(lines, 40)
    assert request.commands == (
        Command(b"refs/heads/a b", ZERO, A),
        Command(b"refs/heads/c", A, ZERO),
        Command(b"refs/heads/d", A, B),
    )
    assert request.capabilities == {b"report-status": None, b"agent": b"x"}
    assert request.shallow == (B,)
    assert [(c.is_create, c.is_delete) for c in request.commands] == [
        (True, False), (False, True), (False, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"", b"x", ZERO + b" " + A, ZERO + b" " + A + b" ", ZERO + b"  " + A + b" r",
        ZERO + A + b" r", ZERO[1:] + b" " + A + b"  r", ZERO + b" " + A[1:] + b"g r",
        ZERO + b"\t" + A + b" r", b"\0report-status", ZERO + b" " + A + b"\0r",
    ],
)  # fmt: skip
def test_bad_commands(line: bytes) -> None:
    with pytest.raises(Malformed, match="expected old/new/ref"):
        receive_commands.parse([line], 40)


def test_push_options_keep_their_bytes() -> None:
    assert receive_commands.parse_push_options([b"a=b;c\n", b"", b"\xff\n"]) == (
        b"a=b;c", b"", b"\xff",
    )  # fmt: skip
