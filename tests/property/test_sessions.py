"""Arbitrary dialogues: sessions end, wait or fail by the peer's fault, whatever they are told."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest
from gitserve.errors import PeerError, Refused
from gitserve.options import HttpLimits
from gitserve.session.archive import archive
from gitserve.session.config import ReceiveConfig, UploadConfig
from gitserve.session.effects import ApplyCommands
from gitserve.session.receive import receive
from gitserve.session.upload_v0 import upload_v0
from gitserve.session.upload_v2 import upload_v2
from gitserve.transport.httpbody import open_body
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import (
    ARCHIVE,
    BUNDLES,
    CERTIFICATE,
    FETCH,
    FETCH_ELSEWHERE,
    INFO,
    LS_REFS,
    OFFERS,
    OFFERS_ALL,
    PUSH,
    PUSHES,
    WANTS,
)  # fmt: skip
from tests.support.small_world import IDS, done, perform
from tests.unit.session.player import pkts, play

ids = st.sampled_from(IDS)
CAPS = b" multi_ack_detailed side-band-64k no-done filter deepen-relative"
lines = st.one_of(
    ids.map(lambda i: b"want " + i),
    ids.map(lambda i: b"want " + i + CAPS),
    ids.map(lambda i: b"have " + i + b"\n"),
    ids.map(lambda i: b"shallow " + i),
    st.tuples(ids, ids).map(lambda p: b"%b %b refs/heads/x\0side-band-64k report-status" % p),
    st.sampled_from([
        b"done", b"deepen 2", b"deepen-not x", b"filter blob:none", b"command=fetch", b"peel",
        b"command=ls-refs", b"agent=x", b"thin-pack", b"wait-for-done", b"sideband-all",
        b"ref-prefix ", b"push-cert\0report-status", b"object-format=sha1", b"",
    ]),
    st.binary(max_size=6),
)  # fmt: skip
items = st.lists(lines | st.none() | st.just(...), max_size=12)

SESSIONS = [
    lambda stateless: upload_v0(UploadConfig(stateless=stateless, allow_filter=True)),
    lambda stateless: upload_v0(UploadConfig(stateless=stateless), version=1),
    lambda stateless: upload_v2(UploadConfig(stateless=stateless, allow_sideband_all=True)),
    lambda stateless: receive(ReceiveConfig(stateless=stateless, advertise_push_options=True)),
]


@settings(max_examples=400)
@given(st.sampled_from(range(len(SESSIONS))), st.booleans(), items, st.binary(max_size=5))
def test_any_dialogue(which: int, stateless: bool, said: list[Any], tail: bytes) -> None:
    played = play(SESSIONS[which](stateless), pkts(*said) + tail, perform)
    assert played.error is None or isinstance(played.error, PeerError | Refused)
    # Nobody is left waiting for bytes that we hold back.
    assert played.left == played.sent
    # Nothing is promised or done twice.
    assert len([e for e in played.effects if isinstance(e, ApplyCommands)]) <= 1


WELL_FORMED = [
    (lambda: upload_v0(OFFERS), [WANTS]),
    (lambda: upload_v0(OFFERS, version=1), [WANTS]),
    (lambda: upload_v0(OFFERS.but(stateless=True)), [WANTS]),
    (lambda: upload_v2(OFFERS), [LS_REFS + FETCH, INFO + LS_REFS]),
    (lambda: upload_v2(OFFERS.but(stateless=True)), [LS_REFS, FETCH, INFO]),
    (lambda: upload_v2(OFFERS_ALL), [FETCH_ELSEWHERE, BUNDLES]),
    (lambda: receive(PUSHES), [PUSH + b"PACK", CERTIFICATE + b"PACK"]),
    (lambda: receive(PUSHES.but(stateless=True)), [PUSH + b"PACK"]),
    (archive, [ARCHIVE]),
]


@pytest.mark.parametrize("number", range(len(WELL_FORMED)))
def test_any_cut_of_a_request(number: int) -> None:
    """Wherever it is cut in two, the same is said and done. Wherever it ends too early, nothing is
    done that the whole would not do, and it waits, or fails."""
    make, requests = WELL_FORMED[number]
    for said in requests:
        whole = play(make(), said, perform)
        assert whole.effects
        for cut in range(len(said)):
            split = play(make(), [said[:cut], said[cut:]], perform)
            assert (split.sent, done(split), split.rest) == (
                whole.sent, done(whole), whole.rest,
            )  # fmt: skip
            assert repr(split.error) == repr(whole.error)
            part = play(make(), said[:cut], perform, ends=False)
            assert part.error is None
            assert part.waiting or done(part) == done(whole)
            assert whole.sent.startswith(part.sent)
            assert done(whole)[: len(done(part))] == done(part)
            ended = play(make(), said[:cut], perform)
            assert ended.error is None or isinstance(ended.error, PeerError)
            assert done(whole)[: len(done(ended))] == done(ended)


BODY = bytes(range(256)) * 40
ZIPPED = gzip.compress(BODY, mtime=0)


def chunked(data: bytes) -> bytes:
    pieces = [data[at : at + 100] for at in range(0, len(data), 100)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (BODY[:500], {"CONTENT_LENGTH": "500"}),
        (ZIPPED, {"CONTENT_LENGTH": str(len(ZIPPED)), "HTTP_CONTENT_ENCODING": "gzip"}),
        (chunked(BODY[:500]), {"HTTP_TRANSFER_ENCODING": "chunked"}),
        (
            chunked(ZIPPED),
            {"HTTP_TRANSFER_ENCODING": "chunked", "HTTP_CONTENT_ENCODING": "gzip"},
        ),
    ],
    ids=["plain", "gzip", "chunked", "chunked-gzip"],
)
def test_any_cut_of_a_body(sent: bytes, headers: dict[str, str]) -> None:
    """Read in pieces of any size it is the same; cut off anywhere it is an error, not shorter."""

    def read(data: bytes, size: int) -> bytes:
        environ = {"wsgi.input": io.BytesIO(data), **headers}
        body, taken = open_body(environ, HttpLimits(), 1 << 20), b""
        while piece := body.read(size):
            taken += piece
        return taken

    content = BODY if "HTTP_CONTENT_ENCODING" in headers else BODY[:500]
    for size in (1, 3, 100, 1 << 16):
        assert read(sent, size) == content
    for cut in range(len(sent)):
        with pytest.raises(PeerError):
            read(sent[:cut], 1 << 16)
