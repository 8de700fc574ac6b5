"""What is fuzzed: every parser of :mod:`gitserve.wire`, every session, HTTP requests and bodies,
configuration, attributes and what archives are asked for.

A target takes bytes. It raises what is a bug; the errors that a peer is allowed to cause it takes
itself, and looks whether they could be told.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gitserve.archiving import attributes, pathspecs, request
from gitserve.archiving.request import ArchiveRefused
from gitserve.errors import PeerError, Refused
from gitserve.options import HttpLimits
from gitserve.repository import configenv, configsyntax, refname
from gitserve.repository.config import Config, ConfigError, parse_int
from gitserve.session.archive import archive
from gitserve.session.config import FilterRules, ReceiveConfig, UploadConfig
from gitserve.session.effects import Dialogue
from gitserve.session.receive import receive
from gitserve.session.upload_v0 import upload_v0
from gitserve.session.upload_v2 import upload_v2
from gitserve.transport import httprequest
from gitserve.transport.exports import Exports, NotExported
from gitserve.transport.httpbody import open_body
from gitserve.wire import (
    acknowledgments,
    archive_request,
    capabilities,
    command_request,
    error_line,
    fetch_request,
    filter_process,
    filter_spec,
    haves,
    listed_ref,
    ls_refs,
    object_info,
    percent,
    proc_receive,
    promisor_remotes,
    proto_request,
    protocol_version,
    push_certificate,
    receive_commands,
    ref_advertisement,
    report,
    shallow_info,
    sideband,
    upload_request,
)  # fmt: skip
from gitserve.wire.pktline import Marker, PktDecoder
from gitserve.wire.promisor_remotes import PromisorRemote

from tests.support.small_world import done, perform
from tests.unit.session.player import pkts, play

A, B = b"a" * 40, b"b" * 40
HEX = 40
NOTHING_THERE = Exports(base_path="/nonexistent/root", export_all=True)
MOST_TOLD = 70_000
"""Bytes of an error: it has to fit into a packet, as the log's line is cut."""


@dataclass(frozen=True, slots=True)
class Target:
    """One."""

    run: Callable[[bytes], None]
    seeds: list[bytes]


def _lines(data: bytes) -> list[bytes]:
    """The packets' payloads, as a session gets them; raises as it would."""
    decoder = PktDecoder(data)
    lines: list[bytes] = []
    while (run := decoder.take_run()) is not None:
        lines += run.lines
    decoder.finish()
    return lines


def _of_lines(parse: Callable[[list[bytes]], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            parse(_lines(data))
        except PeerError as error:
            _can_be_told(error)

    return run


def _of_bytes(parse: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            parse(data)
        except PeerError as error:
            _can_be_told(error)

    return run


def _filter(data: bytes) -> None:
    if filter_spec.parts(data) and filter_spec.has_sparse(data):
        settled = filter_spec.with_sparse(data, lambda _: B)
        assert len(filter_spec.parts(settled)) == len(filter_spec.parts(data))


def _can_be_told(error: PeerError) -> None:
    told = str(error)
    assert "\n" not in told
    assert len(told) < MOST_TOLD


def _each(parse: Callable[[bytes], object]) -> Callable[[list[bytes]], object]:
    return lambda lines: [parse(line) for line in lines]


def _of_session(make: Callable[[], Dialogue]) -> Callable[[bytes], None]:
    """It ends, waits, or fails by the peer's fault; and however it is cut, it does the same, and
    says the same unless it fails."""

    def run(data: bytes) -> None:
        whole = play(make(), data, perform)
        _expected(whole.error)
        cut = len(data) // 3
        split = play(make(), [data[:cut], data[cut : cut + 1], data[cut + 1 :]], perform)
        assert done(split) == done(whole)
        assert (split.error is None) == (whole.error is None)
        _expected(split.error)
        # of several faults the first to be seen is told, in a band if that was agreed by then
        assert split.sent == whole.sent or whole.error is not None
        part = play(make(), data[:cut], perform, ends=False)
        _expected(part.error)
        if part.waiting:
            assert whole.sent.startswith(part.sent) or whole.error is not None
            assert done(whole)[: len(done(part))] == done(part)

    return run


def _expected(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, PeerError | Refused):
        raise error


def _pktlines(data: bytes) -> None:
    """Runs and single packets say the same."""
    decoder, single = PktDecoder(data), PktDecoder(data)
    got: list[Any] = []
    failed = [False, False]
    try:
        while (run := decoder.take_run()) is not None:
            got += [*run.lines, *([run.end] if run.end else [])]
        decoder.finish()
    except PeerError:
        failed[0] = True
    one: list[Any] = []
    try:
        while isinstance(packet := single.next(), bytes | Marker):
            one.append(packet)
            assert len(one) <= len(data)
        single.finish()
    except PeerError:
        failed[1] = True
    assert failed[0] == failed[1]
    assert one[: len(got)] == got


def _body(environ: dict[str, str]) -> Callable[[bytes], None]:
    """Bounded, whatever it is; the same in pieces of any size."""
    limits = HttpLimits(max_expansion=20, expansion_counts_from=10_000)

    def read(data: bytes, size: int) -> bytes | None:
        taken = b""
        try:
            asked = {"wsgi.input": io.BytesIO(data), **environ}
            if "HTTP_TRANSFER_ENCODING" not in environ:
                asked["CONTENT_LENGTH"] = str(len(data))
            body = open_body(asked, limits, 1 << 20)
            while piece := body.read(size):
                taken += piece
            assert body.failure is None
        except PeerError:
            return None
        assert len(taken) <= 1 << 20
        return taken

    def run(data: bytes) -> None:
        assert read(data, 1 << 16) == read(data, 7)

    return run


def _http_request(data: bytes) -> None:
    words = data.split(b"\n") + [b""] * 4
    method, path, query, protocol = (word.decode("latin-1") for word in words[:4])
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query,
        "HTTP_GIT_PROTOCOL": protocol,
    }  # fmt: skip
    try:
        request = httprequest.parse(environ)
    except httprequest.HttpError:
        return
    try:
        found = NOTHING_THERE.find(request.repository)
    except NotExported:
        return
    raise AssertionError(f"led out of the root: {found}")


def _configuration(data: bytes) -> None:
    """A file of it, and the values in it as every type."""
    last = data.count(b"\n") + 1
    try:
        entries = configsyntax.parse(data.decode("utf-8", "surrogateescape"))
    except configsyntax.ConfigSyntaxError as error:
        if not 0 < error.line <= last:
            raise ValueError(error.line) from error
        return
    config = Config([(key, value, "f", line) for key, value, line in entries])
    for key, value, line in entries:
        assert 0 < line <= last
        for get in (config.get_bool, config.get_int, config.get_path, config.get_all):
            try:
                get(key)
            except ConfigError as error:
                if key not in str(error):
                    raise ValueError(key) from error
        if value is not None and (number := parse_int(value)) is not None:
            assert -(1 << 63) <= number < 1 << 63


def _configuration_in_the_environment(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape").replace("\0", "")
    try:
        for key, _ in configenv.command_entries({"GIT_CONFIG_PARAMETERS": text}):
            assert "." in key
    except ValueError:
        pass


def _attributes(data: bytes) -> None:
    rules, _, path = data.rpartition(b"\n")
    attributes.Attributes(attributes.parse(rules)).of(path, is_folder=False)


def _pathspecs(data: bytes) -> None:
    word, _, path = data.partition(b"\0")
    try:
        asked = pathspecs.Pathspecs([word])
    except ArchiveRefused:
        return
    asked.match(path, {b"one": True, b"two": b"b"})
    asked.may_match_below(path)


def _archive_arguments(data: bytes) -> None:
    with suppress(ArchiveRefused):
        request.parse(data.split(b"\0"), Config())


WANTS = pkts(b"want " + A + b" multi_ack_detailed side-band-64k thin-pack filter agent=x",
             b"want " + B, b"shallow " + A, b"deepen 3", b"filter blob:none", None,
             b"have " + A, b"have " + B, None, b"done")  # fmt: skip
FETCH = pkts(b"command=fetch", b"agent=x", b"object-format=sha1", ..., b"thin-pack", b"ofs-delta",
             b"want " + A, b"want-ref refs/heads/x", b"have " + B, b"shallow " + A, b"deepen 1",
             b"filter combine:blob:none+tree%3A1", b"sideband-all", b"done", None)  # fmt: skip
LS_REFS = pkts(b"command=ls-refs", ..., b"peel", b"symrefs", b"unborn", b"ref-prefix refs/", None)
INFO = pkts(b"command=object-info", ..., b"size", b"oid " + A, None)
BUNDLES = pkts(b"command=bundle-uri", b"session-id=x", ..., None)
FETCH_ELSEWHERE = pkts(
    b"command=fetch", b"agent=x", b"server-option=a=b", b"session-id=x-1",
    b"promisor-remote=one;none", ..., b"want " + A, b"have " + B, b"packfile-uris https,http",
    b"wait-for-done", b"include-tag", b"no-progress", b"deepen-since 1700000000",
    b"deepen-not refs/heads/x", b"done", None,
)  # fmt: skip
PUSH = pkts(A + b" " + B + b" refs/heads/x\0report-status side-band-64k push-options atomic",
            b"shallow " + A, b"0" * 40 + b" " + A + b" refs/tags/y", None,
            b"opt=1", None)  # fmt: skip
CERTIFICATE = pkts(
    b"push-cert\0report-status push-cert=1-x", b"certificate version 0.1\n",
    b"pusher C <c@example.org> 1700000000 +0000\n", b"pushee git://x/y\n", b"nonce 1-x\n", b"\n",
    A + b" " + B + b" refs/heads/x\n", b"-----BEGIN PGP SIGNATURE-----\n", b"push-cert-end\n", None,
)  # fmt: skip
ARCHIVE = pkts(b"argument HEAD", b"argument --format=tar", b"argument --prefix=x/", None)
ADVERTISED = pkts(A + b" HEAD\0multi_ack symref=HEAD:refs/heads/x agent=x object-format=sha1",
                  A + b" refs/heads/x", B + b" refs/tags/t", A + b" refs/tags/t^{}",
                  b"shallow " + A, None)  # fmt: skip
REPORT = pkts(b"unpack ok", b"ok refs/heads/x", b"option refname refs/heads/z",
              b"ng refs/heads/y why not", None)  # fmt: skip
ALL = [
    WANTS,
    FETCH,
    FETCH_ELSEWHERE,
    BUNDLES,
    LS_REFS,
    INFO,
    PUSH,
    CERTIFICATE,
    ARCHIVE,
    ADVERTISED,
    REPORT,
]

OFFERS = UploadConfig(
    allow_filter=True, allow_sideband_all=True, allow_ref_in_want=True, advertise_object_info=True
)
OFFERS_ALL = OFFERS.but(
    advertise_bundles=True, allow_packfile_uris=True, session_id=b"x-2", traced=True,
    promisor_remotes=(PromisorRemote("one", (("url", "https://example.org/x"),)),),
    filter_rules=FilterRules(by_kind={"blob:none": False}, tree_depth=1),
)  # fmt: skip
PUSHES = ReceiveConfig(advertise_push_options=True, certificate_nonce=b"1-x")


def _parsers() -> dict[str, tuple[Callable[[list[bytes]], object], Sequence[bytes]]]:
    return {
        "upload_request": (lambda lines: upload_request.parse(lines, HEX), [WANTS]),
        "haves": (lambda lines: haves.parse(lines, HEX), [WANTS]),
        "fetch_request": (lambda lines: fetch_request.parse(lines, HEX), [FETCH]),
        "command_request": (command_request.parse, [FETCH, LS_REFS]),
        "ls_refs": (ls_refs.parse, [LS_REFS]),
        "object_info": (lambda lines: object_info.parse(lines, HEX), [INFO]),
        "receive_commands": (lambda lines: receive_commands.parse(lines, HEX), [PUSH, CERTIFICATE]),
        "push_options": (receive_commands.parse_push_options, [PUSH]),
        "push_certificate": (push_certificate.parse, [CERTIFICATE]),
        "proc_receive": (
            lambda lines: (proc_receive.parse_greeting(lines), proc_receive.parse_report(lines)),
            [pkts(b"version=1\0push-options", None), REPORT],
        ),
        "filter_process": (
            lambda lines: (
                filter_process.can_smudge(lines),
                filter_process.parse_status(lines),
                filter_process.check_welcome(lines),
            ),
            [
                pkts(b"git-filter-server\n", b"version=2\n", None),
                pkts(b"capability=smudge\n", b"status=success\n", None),
            ],
        ),
        "report": (report.parse, [REPORT]),
        "ref_advertisement": (ref_advertisement.parse, [ADVERTISED]),
        "capabilities": (_each(capabilities.parse_capabilities), [ADVERTISED]),
        "advertisement_v2": (capabilities.parse_advertisement, [LS_REFS]),
        "listed_ref": (
            _each(lambda line: listed_ref.parse(line, HEX)),
            [pkts(A + b" HEAD symref-target:refs/heads/x", A + b" refs/tags/t peeled:" + B, None)],
        ),
        "shallow_info": (
            lambda lines: shallow_info.parse(lines, HEX),
            [pkts(b"shallow " + A, b"unshallow " + B, None)],
        ),
        "acknowledgments": (
            _each(lambda line: acknowledgments.parse(line, HEX)),
            [pkts(b"ACK " + A + b" ready", b"NAK", b"ACK " + B, None)],
        ),
        "archive_request": (archive_request.parse, [ARCHIVE]),
        "sideband": (_each(sideband.decode), [pkts(b"\1x", b"\2progress", b"\3bad", None)]),
        "error_line": (_each(error_line.parse), [pkts(b"ERR why", None)]),
        "proto_request": (
            _each(proto_request.parse),
            [pkts(b"git-upload-pack /x.git\0host=h:1\0\0version=2\0", None)],
        ),
    }


TARGETS: dict[str, Target] = {
    "pktline": Target(_pktlines, ALL),
    **{name: Target(_of_lines(parse), [*seeds]) for name, (parse, seeds) in _parsers().items()},
    "filter_spec": Target(
        _of_bytes(_filter),
        [b"combine:blob:none+tree%3A1+object:type=tag", b"blob:limit=1k", b"sparse:oid=main:x"],
    ),
    "percent": Target(_of_bytes(percent.decode), [b"a%20b%zz%0"]),
    "protocol_version": Target(
        _of_bytes(
            lambda data: protocol_version.requested_version(protocol_version.split_parameters(data))
        ),
        [b"version=2:x=y", b"version=1"],
    ),
    "promisor_remotes": Target(
        _of_bytes(lambda data: promisor_remotes.parse_accepted(data, ())), [b"one;two%20three"]
    ),
    "refname": Target(
        _of_bytes(lambda data: refname.is_well_formed(data, one_level=False)), [b"refs/heads/x"]
    ),
    "configuration": Target(
        _configuration,
        [
            b'[core]\n\tbare = true ; so\n[a "q\\"u"]\nn=2k\n m = "x y" \\\n z\nnone\n',
            b"\xef\xbb\xbf[Remote.x]\r\nurl = ~/x\t#\r\nbig=9223372036854775807g\nneg=-0x10\n",
        ],
    ),
    "configuration_environment": Target(
        _configuration_in_the_environment, [b"'a.b=c' 'd.e'='it'\\''s' 'f.g'= 'h.i'"]
    ),
    "attributes": Target(
        _attributes,
        [b'*.c text -diff !x eol=lf\n[attr]m a b\n"q\\101" m\n/d/**/e/ x=y\nd/a.c', b"*\ta\n\na"],
    ),
    "pathspecs": Target(
        _pathspecs, [b":(glob,icase,attr:one -x two=b)d/**/*.c\0d/a.c", b":!^/x[a-c]?\\*\0xb"]
    ),
    "archive_arguments": Target(
        _archive_arguments,
        [b"--format=tar\0--prefix=x/\0-9\0--mtime=1\0HEAD\0--\0a", b"-l\0-v\0--format\0zip"],
    ),
    "session_v0": Target(_of_session(lambda: upload_v0(OFFERS)), [WANTS]),
    "session_v0_stateless": Target(
        _of_session(lambda: upload_v0(OFFERS.but(stateless=True))), [WANTS]
    ),
    "session_v1": Target(_of_session(lambda: upload_v0(OFFERS, version=1)), [WANTS]),
    "session_v2": Target(
        _of_session(lambda: upload_v2(OFFERS)), [FETCH, LS_REFS, INFO, LS_REFS + FETCH]
    ),
    "session_v2_stateless": Target(
        _of_session(lambda: upload_v2(OFFERS.but(stateless=True))), [FETCH, LS_REFS, INFO]
    ),
    "session_v2_all": Target(
        _of_session(lambda: upload_v2(OFFERS_ALL)),
        [FETCH_ELSEWHERE, BUNDLES, BUNDLES + LS_REFS + FETCH],
    ),
    "session_receive": Target(_of_session(lambda: receive(PUSHES)), [PUSH, CERTIFICATE]),
    "session_receive_stateless": Target(
        _of_session(lambda: receive(PUSHES.but(stateless=True))), [PUSH, CERTIFICATE]
    ),
    "session_archive": Target(_of_session(archive), [ARCHIVE]),
    "http_request": Target(
        _http_request,
        [
            b"GET\n/x.git/info/refs\nservice=git-upload-pack\nversion=2",
            b"POST\n/a/b.git/git-receive-pack\n\n",
            b"GET\n/x.git/objects/pack/pack-" + A + b".pack\n\n",
            b"GET\n/x/%2e%2e/../y.git/HEAD\n\n",
        ],
    ),
    "http_plain": Target(_body({}), [WANTS]),
    "http_gzip": Target(
        _body({"HTTP_CONTENT_ENCODING": "gzip"}),
        [gzip.compress(WANTS), gzip.compress(bytes(300_000)), gzip.compress(b"a") * 2],
    ),
    "http_chunked": Target(
        _body({"HTTP_TRANSFER_ENCODING": "chunked"}),
        [b"5\r\nhello\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n"],
    ),
    "http_chunked_gzip": Target(
        _body({"HTTP_TRANSFER_ENCODING": "chunked", "HTTP_CONTENT_ENCODING": "gzip"}),
        [b"%x\r\n%b\r\n0\r\n\r\n" % (len(gzip.compress(WANTS)), gzip.compress(WANTS))],
    ),
}
