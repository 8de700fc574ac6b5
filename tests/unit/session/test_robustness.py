"""What must hold of every dialogue, however its bytes arrive and whatever breaks."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from gitserve.errors import (
    Cancelled,
    GitServeError,
    HangupError,
    MissingObject,
    PeerError,
    Refused,
)
from gitserve.session.config import Limits, ReceiveConfig, UploadConfig
from gitserve.session.effects import (
    AddHaves,
    AdvertiseRefs,
    ApplyCommands,
    BeginNegotiation,
    CheckWants,
    Common,
    Deepen,
    Dialogue,
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
from gitserve.wire.pktline import encode
from gitserve.wire.report import CommandResult

from tests.unit.session.player import Played, pkts, play, unpkts

A, B, C = (f"{n:040d}" for n in (1, 2, 3))
ZERO = "0" * 40
STATELESS = UploadConfig(stateless=True)


class World:
    """Has A and B; everything reaches B."""

    def __init__(self, breaks: type[Effect] | None = None, error: Exception | None = None) -> None:
        self.breaks = breaks
        self.error = error
        self.has: set[bytes] = {A.encode(), B.encode()}
        self.lacks_history = False
        self.known: set[bytes] = set()

    def perform(self, effect: Effect) -> Any:
        if self.breaks is not None and isinstance(effect, self.breaks):
            assert self.error is not None
            raise self.error
        match effect:
            case AdvertiseRefs():
                return pkts(A + " HEAD\0caps", None)
            case ListRefs():
                return pkts(A + " HEAD\n", None)
            case CheckWants():
                return next((want for want in effect.wants if want not in self.has), None)
            case Deepen():
                return ShallowUpdate((A.encode(),))
            case BeginNegotiation():
                return self.lacks_history
            case AddHaves():
                return self._common(effect)
            case SendPack():
                return pkts(b"\1PACK") if effect.framing.value else b"PACK"
            case TakePack():
                return Unpacked()
            case ApplyCommands():
                return [CommandResult(command.ref) for command in effect.commands]
        return None

    def _common(self, effect: AddHaves) -> Common:
        ready_at = None
        common = []
        for index, have in enumerate(effect.haves):
            if have in self.has:
                common.append(have)
                self.known.add(have)
            elif B.encode() in self.known and ready_at is None:
                ready_at = index
        return Common(common, B.encode() in self.known, ready_at)


def head(caps: str) -> str:
    return f"want {A} {caps}\n"


DETAILED = "multi_ack_detailed side-band-64k no-done"
SESSIONS: dict[str, tuple[Callable[[], Dialogue], bytes]] = {
    "v0 detailed": (
        lambda: upload_v0(UploadConfig()),
        pkts(
            head("multi_ack_detailed side-band-64k"), f"want {B}", None,
            f"have {C}", f"have {A}", None, f"have {C}\n", None, f"have {B}", f"have {C}", None,
            f"have {A}", None, "done\n",
        ),
    ),
    "v0 multi": (
        lambda: upload_v0(UploadConfig()),
        pkts(head("multi_ack side-band"), None, f"have {A}", f"have {B}", f"have {C}", "done"),
    ),
    "v0 single": (
        lambda: upload_v0(UploadConfig()),
        pkts(head("ofs-delta"), None, f"have {C}", None, f"have {A}", f"have {A}", "done"),
    ),
    "v0 deepen": (
        lambda: upload_v0(UploadConfig(), version=1),
        pkts(head("side-band-64k"), f"shallow {B}", "deepen 3", None, f"have {A}", None, "done"),
    ),
    "v0 stateless": (
        lambda: upload_v0(STATELESS),
        pkts(head(DETAILED), None, f"have {A}", f"have {B}", None),
    ),
    "v2": (
        lambda: upload_v2(UploadConfig()),
        pkts(
            "command=ls-refs\n", "agent=x", ..., "peel\n", "ref-prefix refs/\n", None,
            "command=fetch", ..., f"want {A}\n", f"have {C}\n", None,
            "command=fetch", ..., "deepen 2", f"want {A}\n", f"have {B}\n", None,
            "command=fetch", ..., f"want {A}\n", "done\n", None,
            None,
        ),
    ),
    "receive": (
        lambda: receive(ReceiveConfig(advertise_push_options=True)),
        pkts(
            f"shallow {B}", f"{ZERO} {A} refs/heads/a\0report-status side-band-64k push-options",
            f"{A} {ZERO} refs/heads/b\n", None, "option", None,
        ) + b"PACK and so on",
    ),
}  # fmt: skip

ALL = pytest.mark.parametrize("name", SESSIONS)


def whole(name: str) -> Played:
    start, data = SESSIONS[name]
    played = play(start(), data, World().perform)
    assert played.error is None
    return played


@ALL
def test_any_cutting_gives_the_same_answers(name: str) -> None:
    start, data = SESSIONS[name]
    expected = whole(name)
    draw = random.Random(name)
    cuttings = [[data[i : i + 1] for i in range(len(data))]]
    for _ in range(40):
        at = sorted(draw.sample(range(len(data)), draw.randint(1, min(12, len(data)))))
        cuttings.append([data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)])
    for pieces in cuttings:
        played = play(start(), pieces, World().perform)
        assert played.error is None
        assert played.sent == expected.sent
        assert played.rest == expected.rest
        haves = [have for e in played.effects if isinstance(e, AddHaves) for have in e.haves]
        assert haves == [h for e in expected.effects if isinstance(e, AddHaves) for h in e.haves]
        assert [e for e in played.effects if not isinstance(e, AddHaves)] == [
            e for e in expected.effects if not isinstance(e, AddHaves)
        ]


@ALL
def test_a_cut_off_request_waits_or_fails_and_is_never_answered_wrongly(name: str) -> None:
    start, data = SESSIONS[name]
    expected = whole(name)
    end = len(data) - len(expected.rest)
    for length in range(end):
        waiting = play(start(), data[:length], World().perform, ends=False)
        assert waiting.error is None
        assert expected.sent.startswith(waiting.sent)
        assert waiting.waiting or waiting.sent == expected.sent
        # Whoever waits for us has been sent all we said.
        assert waiting.left == waiting.sent
        ended = play(start(), data[:length], World().perform)
        assert ended.sent.startswith(waiting.sent)
        told = ended.sent[len(waiting.sent) :]
        if ended.error is None:
            assert told == b""
        else:
            assert isinstance(ended.error, HangupError)
            assert b"hung up unexpectedly" in told
            assert not [e for e in ended.effects if isinstance(e, SendPack | ApplyCommands)][
                len([e for e in waiting.effects if isinstance(e, SendPack | ApplyCommands)]) :
            ]


@ALL
def test_a_wrong_packet_anywhere_is_an_error_that_is_told(name: str) -> None:
    start, data = SESSIONS[name]
    expected = whole(name)
    data = data[: len(data) - len(expected.rest)]
    at = 0
    while at < len(data):
        for wrong in (b"0003", b"zzzz", b"fff1" + b"x" * 70000, b"00 5x"):
            played = play(start(), data[:at] + wrong, World().perform)
            assert isinstance(played.error, PeerError)
            assert b"bad line length" in played.sent
            assert expected.sent.startswith(
                played.sent[: played.sent.rindex(b"protocol error") - 8]
            )
        at += max(4, int(data[at : at + 4], 16))


FAULTS = [
    (CheckWants, "v2"),
    (CheckWants, "v0 detailed"),
    (ListRefs, "v2"),
    (AdvertiseRefs, "v0 multi"),
    (AdvertiseRefs, "receive"),
    (Deepen, "v2"),
    (Deepen, "v0 deepen"),
    (AddHaves, "v2"),
    (AddHaves, "v0 single"),
    (SendPack, "v2"),
    (SendPack, "v0 detailed"),
    (SendPack, "v0 multi"),
]


@pytest.mark.parametrize(("effect", "name"), FAULTS)
@pytest.mark.parametrize(
    ("error", "word"),
    [
        (RuntimeError("/srv/secret"), b"internal server error"),
        (MissingObject("/srv/secret"), b"damaged or unreadable"),
        (Refused("/srv/secret"), b"refused by the server"),
        (Refused("/srv/secret", wire=b"too busy,\ncome back"), b"too busy, come back"),
        (Cancelled("/srv/secret"), b"request cancelled"),
    ],
)
def test_what_goes_wrong_is_told_without_a_word_too_much(
    effect: type[Effect], name: str, error: Exception, word: bytes
) -> None:
    start, data = SESSIONS[name]
    played = play(start(), data, World(effect, error).perform)
    assert played.error is error
    assert played.left == played.sent
    last = unpkts(played.sent)[-1]
    assert word in last
    assert last[:4] == b"ERR " if effect is not SendPack else last[:1] == b"\3"
    assert b"secret" not in played.sent
    assert b"secret" not in repr(last).encode()


def test_inside_a_raw_pack_nothing_is_said() -> None:
    start, data = SESSIONS["v0 single"]
    played = play(start(), data, World(SendPack, RuntimeError("x")).perform)
    assert isinstance(played.error, RuntimeError)
    assert whole("v0 single").sent.removesuffix(b"PACK") == played.sent


def test_an_abandoned_session_says_nothing() -> None:
    session = upload_v2(UploadConfig())
    next(session)
    session.close()


def test_small_bands_are_kept_small() -> None:
    start, data = SESSIONS["v0 multi"]
    error = Refused("x", wire=b"y" * 5000)
    played = play(start(), data, World(SendPack, error).perform)
    assert max(len(p) for p in unpkts(played.sent) if p) <= 996


# --- limits -----------------------------------------------------------------

SMALL = Limits(
    max_section_bytes=1 << 20,
    max_wants=100,
    max_haves=200,
    max_haves_streamed=1000,
    max_shallow=100,
    max_deepen_not=10,
    max_prefixes=70_000,
    max_server_options=10,
)


def flood(session: Dialogue, first: bytes, line: bytes, times: int = 1_000_000) -> Played:
    """The same line again and again, made as it is read: nothing but the session keeps it."""
    block = line * max(1, (64 << 10) // len(line))
    consumed = 0

    def pieces() -> Any:
        nonlocal consumed
        yield first
        while consumed < times * len(line):
            consumed += len(block)
            yield block

    played = play(session, pieces(), World().perform)
    assert consumed < 4 * SMALL.max_section_bytes, "it read on and on"
    return played


@pytest.mark.parametrize(
    "line",
    [f"want {A}", f"shallow {A}", "deepen-not x", "deepen 1", "junk", "", "filter x" + "y" * 60000],
)
def test_floods_of_v0_request_lines(line: str) -> None:
    session = upload_v0(UploadConfig(stateless=True, limits=SMALL))
    played = flood(session, pkts(head("")), encode(line.encode()))
    assert isinstance(played.error, PeerError)
    assert unpkts(played.sent)[-1][:4] == b"ERR "


def test_flood_of_v0_haves() -> None:
    session = upload_v0(UploadConfig(stateless=True, limits=SMALL))
    played = flood(session, pkts(head("multi_ack"), None), encode(f"have {C}\n".encode()))
    assert unpkts(played.sent)[-1] == b"ERR too many haves"


@pytest.mark.parametrize("line", ["agent=x", "server-option=x", "x" * 60000, ""])
def test_floods_of_v2_heads(line: str) -> None:
    session = upload_v2(UploadConfig(stateless=True, limits=SMALL))
    played = flood(session, pkts("command=fetch"), encode(line.encode()))
    assert unpkts(played.sent)[-1] == b"ERR request too large"


@pytest.mark.parametrize(
    "line", [f"want {A}", f"have {A}", f"shallow {A}", "deepen-not x", "ref-prefix r", "done"]
)
def test_floods_of_v2_arguments(line: str) -> None:
    session = upload_v2(UploadConfig(stateless=True, limits=SMALL))
    played = flood(session, pkts("command=fetch", ...), encode(line.encode()))
    assert unpkts(played.sent)[-1] == b"ERR request too large"


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([f"want {n:040d}" for n in range(101)], b"too many wants"),
        ([f"have {n:040d}" for n in range(201)], b"too many haves"),
        ([f"shallow {n:040d}" for n in range(101)], b"too many shallow lines"),
        ([f"deepen-not {n}" for n in range(11)], b"too many deepen-not lines"),
    ],
)
def test_each_kind_has_its_own_limit(lines: list[str], word: bytes) -> None:
    config = UploadConfig(stateless=True, limits=SMALL)
    data = pkts("command=fetch", ..., f"want {A}", *lines, None)
    played = play(upload_v2(config), data, World().perform)
    assert word in played.sent
    assert played.effects == []


def test_as_many_prefixes_as_git_ignores_are_ignored() -> None:
    lines = [f"ref-prefix refs/heads/{n}" for n in range(65536)]
    for given, taken in [(lines[:-1], 65535), (lines, 0)]:
        data = pkts("command=ls-refs", ..., *given, None)
        played = play(upload_v2(UploadConfig(stateless=True)), data, World().perform)
        assert played.error is None
        assert len(played.only(ListRefs).prefixes) == taken


# --- particular dialogues ---------------------------------------------------


def test_single_ack_is_given_once() -> None:
    # git repeats it for haves it knew already; its document says that it falls silent.
    start, data = SESSIONS["v0 single"]
    acks = [item for item in unpkts(play(start(), data, World().perform).sent) if item]
    assert acks[1:] == [b"NAK\n", f"ACK {A}\n".encode(), b"PACK"]


def test_a_client_that_never_flushes_is_answered_while_it_speaks() -> None:
    session = upload_v0(UploadConfig())
    said = pkts(head(DETAILED), None, f"have {A}")
    played = play(session, said, World().perform, ends=False)
    assert played.left.endswith(pkts(f"ACK {A} common\n"))


def test_an_error_behind_a_pack_is_a_line_again() -> None:
    data = pkts("command=fetch", ..., f"want {A}", "done", None, "command=frob", None)
    played = play(upload_v2(UploadConfig()), data, World().perform)
    assert unpkts(played.sent)[-3:] == [b"\1PACK", None, b"ERR serve: invalid command 'frob'"]


def test_v2_acknowledges_once_what_is_said_twice() -> None:
    data = pkts("command=fetch", ..., f"want {A}", f"have {A}", f"have {A}", None)
    played = play(upload_v2(STATELESS), data, World().perform)
    assert unpkts(played.sent) == [b"acknowledgments\n", f"ACK {A}\n".encode(), None]


def test_another_object_format_is_refused() -> None:
    data = pkts(head("object-format=sha256"), None, "done")
    played = play(upload_v0(STATELESS), data, World().perform)
    assert played.sent == pkts("ERR mismatched object format: server sha1; client sha256")


def test_sha256_ids() -> None:
    config = UploadConfig(stateless=True, object_format="sha256")
    world = World()
    long = "0" * 24 + A
    world.has = {long.encode()}
    data = pkts("command=fetch", "object-format=sha256", ..., f"want {long}", "done", None)
    assert play(upload_v2(config), data, world.perform).only(SendPack).wants == (long.encode(),)
    data = pkts("command=fetch", "object-format=sha256", ..., f"want {A}", "done", None)
    assert b"expected to get oid" in play(upload_v2(config), data, world.perform).sent
    data = pkts("command=fetch", ..., f"want {long}", "done", None)
    assert b"mismatched object format" in play(upload_v2(config), data, world.perform).sent


def test_a_shallow_repository_says_so_to_v2() -> None:
    config = UploadConfig(stateless=True)
    data = pkts("command=fetch", ..., f"want {A}", "done", None)
    world = World()
    world.lacks_history = True
    played = play(upload_v2(config), data, world.perform)
    assert unpkts(played.sent)[:4] == [
        b"shallow-info\n", f"shallow {A}".encode(), ..., b"packfile\n",
    ]  # fmt: skip


def test_what_the_pack_shall_be() -> None:
    data = pkts(
        head("thin-pack ofs-delta include-tag no-progress side-band deepen-relative filter"),
        f"shallow {B}", "deepen 2", "filter blob:none", None, "done",
    )  # fmt: skip
    config = UploadConfig(stateless=True, allow_filter=True)
    played = play(upload_v0(config), data, World().perform)
    pack = played.only(SendPack)
    assert (pack.thin, pack.ofs_delta, pack.include_tag, pack.progress) == (True, True, True, False)
    assert (pack.framing.value, pack.filter_spec) == (1000, b"blob:none")
    assert pack.client_shallow == (B.encode(),)
    assert pack.shallow_update == ShallowUpdate((A.encode(),))
    assert played.only(Deepen).relative


def test_errors_have_one_root() -> None:
    assert issubclass(HangupError, GitServeError)
