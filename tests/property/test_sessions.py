"""Arbitrary dialogues: sessions end, wait or fail by the peer's fault, whatever they are told."""

from __future__ import annotations

from typing import Any

from gitserve.errors import PeerError, Refused
from gitserve.session.config import ReceiveConfig, UploadConfig
from gitserve.session.effects import (
    AddHaves,
    AdvertiseRefs,
    ApplyCommands,
    CheckWants,
    Common,
    Deepen,
    Effect,
    ListRefs,
    SendPack,
    ShallowUpdate,
    TakePack,
    Unpacked,
)
from gitserve.session.receive import receive
from gitserve.session.upload_v0 import upload_v0
from gitserve.session.upload_v2 import upload_v2
from gitserve.wire.report import CommandResult
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.session.player import pkts, play

IDS = [b"%040d" % n for n in range(5)]
HERE = set(IDS[1:3])


def perform(effect: Effect) -> Any:
    """A small world that knows some of the ids."""
    match effect:
        case AdvertiseRefs() | ListRefs():
            return b""
        case SendPack():
            return b""
        case CheckWants():
            return next((want for want in effect.wants if want not in HERE), None)
        case Deepen():
            return ShallowUpdate((IDS[1],))
        case AddHaves():
            common = [have for have in effect.haves if have in HERE]
            other = [i for i, have in enumerate(effect.haves) if have not in HERE]
            return Common(common, bool(common), other[0] if other else None)
        case TakePack():
            return Unpacked()
        case ApplyCommands():
            return [CommandResult(command.ref) for command in effect.commands]
    return None


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
