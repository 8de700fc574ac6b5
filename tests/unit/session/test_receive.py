"""receive-pack's dialogue: against git's own, and where the two ends go wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gitserve.errors import HangupError, PackError, PeerTimeout, RepositoryError
from gitserve.session.config import Limits, ReceiveConfig
from gitserve.session.effects import (
    AdvertiseRefs,
    AfterReport,
    Agreed,
    ApplyCommands,
    Effect,
    Framing,
    TakePack,
    Unpacked,
)
from gitserve.session.receive import receive
from gitserve.wire.pktline import FLUSH, Run
from gitserve.wire.receive_commands import Command
from gitserve.wire.report import CommandResult

from tests.unit.session.git_repository import ENV, GitRepository, git
from tests.unit.session.player import Played, pkts, play, unpkts

ZERO = "0" * 40
EMPTY_PACK = bytes.fromhex("5041434b0000000200000000029d08823bd8a8eab510ad6ac75c823cfd3ed31e")
STATELESS = ReceiveConfig(stateless=True)
BAND = "report-status side-band-64k"


@dataclass
class World:
    """Performs a push as told."""

    unpacked: Any = field(default_factory=Unpacked)
    results: Any = None
    after: Any = None

    def perform(self, effect: Effect) -> Any:
        match effect:
            case AdvertiseRefs():
                return pkts(b"refs\0" + effect.capabilities, None)
            case TakePack():
                reply = self.unpacked
            case ApplyCommands():
                reply = self.results
                if reply is None:
                    reply = tuple(CommandResult(command.ref) for command in effect.commands)
            case AfterReport():
                reply = self.after
        if isinstance(reply, Exception):
            raise reply
        return reply


def push(data: bytes, world: World | None = None, config: ReceiveConfig = STATELESS) -> Played:
    return play(receive(config), data, (world or World()).perform)


def results(**fates: str) -> tuple[CommandResult, ...]:
    return tuple(
        CommandResult(b"refs/heads/" + name.encode(), why.encode() or None)
        for name, why in fates.items()
    )


Case = tuple[list[Any], World]

CASES: dict[str, Callable[[dict[str, str]], Case]] = {
    "create": lambda i: ([f"{ZERO} {i['c4']} refs/heads/new\0{BAND}", None], World()),
    "raw report": lambda i: (
        [f"{ZERO} {i['c4']} refs/heads/new\0report-status\n", None],
        World(),
    ),
    "no report": lambda i: ([f"{ZERO} {i['c4']} refs/heads/new\0", None], World()),
    "no report in bands": lambda i: (
        [f"{ZERO} {i['c4']} refs/heads/new\0side-band-64k", None],
        World(),
    ),
    "no capabilities": lambda i: ([f"{ZERO} {i['c4']} refs/heads/new", None], World()),
    "report v2": lambda i: (
        [
            f"{ZERO} {i['c4']} refs/heads/n1\0 report-status-v2 side-band-64k agent=x",
            f"{ZERO} {i['c4']} refs/heads/n2",
            None,
        ],
        World(),
    ),
    "delete": lambda i: ([f"{i['s']} {ZERO} refs/heads/side\0{BAND}", None], World()),
    "missing objects": lambda i: (
        [f"{ZERO} {i['Z']} refs/heads/new\0{BAND}", None],
        World(results=results(new="missing necessary objects")),
    ),
    "lost race": lambda i: (
        [f"{i['c4']} {i['s']} refs/heads/main\0{BAND}", None],
        World(results=results(main="failed to update ref")),
    ),
    "atomic": lambda i: (
        [
            f"{i['c4']} {i['s']} refs/heads/main\0{BAND} atomic",
            f"{ZERO} {i['s']} refs/heads/n",
            None,
        ],
        World(results=results(main="atomic transaction failed", n="atomic transaction failed")),
    ),
    "funny name": lambda i: (
        [f"{ZERO} {i['s']} refs/heads/../x\0{BAND}", None],
        World(results=(CommandResult(b"refs/heads/../x", b"funny refname"),)),
    ),
    "shallow client": lambda i: (
        [f"shallow {i['c5']}", f"{ZERO} {i['c6']} refs/heads/q\0{BAND}", None],
        World(),
    ),
    "flush": lambda _: ([None], World()),
    "junk": lambda _: (["junk", None], World()),
    "no ref": lambda i: ([f"{ZERO} {i['s']}", None], World()),
    "two blanks": lambda i: ([f"{ZERO}  {i['s']} x", None], World()),
    "bad shallow": lambda i: (
        ["shallow x", f"{ZERO} {i['s']} refs/heads/q\0report-status", None],
        World(),
    ),
    "other format": lambda i: (
        [f"{ZERO} {i['s']} refs/heads/q\0report-status object-format=sha256", None],
        World(),
    ),
    "cut": lambda i: ([f"{ZERO} {i['s']} refs/heads/q\0report-status"], World()),
}


@pytest.mark.parametrize("name", CASES)
def test_as_git(history: Path, ids: dict[str, str], tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    shutil.copytree(history, target)
    items, world = CASES[name](ids)
    data = pkts(*items)
    if not any(isinstance(item, str) and f" {ZERO} " in item for item in items) and len(items) > 1:
        data += EMPTY_PACK
    ours = push(data, world)
    theirs = subprocess.run(
        ["git", "receive-pack", "--stateless-rpc", str(target)],
        input=data,
        capture_output=True,
        check=False,
        env=ENV,
    )
    if theirs.returncode == 0:
        # What git's own messages say besides is not the report's business.
        answer = [item for item in unpkts(theirs.stdout) if not item or item[:1] != b"\2"]
        assert ours.sent == pkts(*answer)
        assert ours.error is None
        assert ours.left == ours.sent
    else:
        assert theirs.stdout == b""
        assert ours.error is not None
        assert ours.sent[4:8] == b"ERR "
        assert not [e for e in ours.effects if isinstance(e, ApplyCommands | TakePack)]


@pytest.mark.parametrize("options", [(), ("receive.advertiseAtomic", "repack.useDeltaBaseOffset")])
def test_advertisement(history: Path, options: tuple[str, ...]) -> None:
    args = ["git", *[arg for key in options for arg in ("-c", f"{key}=false")]]
    theirs = subprocess.run(
        [*args, "-c", "receive.advertisePushOptions", "receive-pack", "--http-backend-info-refs",
         str(history)],
        capture_output=True,
        check=True,
        env=ENV,
    )  # fmt: skip
    config = ReceiveConfig(
        advertise_only=True,
        advertise_push_options=True,
        advertise_atomic=not options,
        advertise_ofs_delta=not options,
    )
    ours = play(receive(config), b"", World().perform)
    offered = unpkts(theirs.stdout)[0].partition(b"\0")[2].split()
    assert unpkts(ours.sent)[0].partition(b"\0")[2].split()[:-1] == offered[:-1]


def test_version_1_announces_itself() -> None:
    played = play(receive(ReceiveConfig(), version=1), pkts(None), World().perform)
    assert unpkts(played.sent)[0] == b"version 1\n"


def test_nothing_to_push_is_a_clean_end() -> None:
    played = push(pkts(None), config=ReceiveConfig())
    assert played.error is None
    assert [type(effect) for effect in played.effects] == [AdvertiseRefs]


def test_a_client_that_leaves_instead_of_saying_so_has_hung_up() -> None:
    assert isinstance(push(b"", config=ReceiveConfig()).error, HangupError)


def test_the_pack_is_left_to_whoever_takes_it(ids: dict[str, str]) -> None:
    head = pkts(f"{ZERO} {ids['c4']} refs/heads/new\0{BAND}", None)
    played = push(head + EMPTY_PACK)
    assert played.rest == EMPTY_PACK


def test_no_pack_is_expected_for_deletions_alone(ids: dict[str, str]) -> None:
    gone = pkts(f"{ids['s']} {ZERO} refs/heads/side\0{BAND} atomic quiet", None)
    played = push(gone)
    assert [type(e) for e in played.effects] == [ApplyCommands, AfterReport]
    applied = played.only(ApplyCommands)
    assert applied.commands == (Command(b"refs/heads/side", ids["s"].encode(), ZERO.encode()),)
    assert (applied.atomic, applied.quiet, applied.pack_taken) == (True, True, False)


def test_push_options(ids: dict[str, str]) -> None:
    line = f"{ZERO} {ids['c4']} refs/heads/new\0{BAND} push-options"
    data = pkts(line, None, "ci=skip\n", "", None) + EMPTY_PACK
    config = ReceiveConfig(stateless=True, advertise_push_options=True)
    played = push(data, config=config)
    assert played.only(ApplyCommands).push_options == (b"ci=skip", b"")
    assert played.rest == EMPTY_PACK
    # Not offered, they are not there.
    assert push(pkts(line, None) + EMPTY_PACK).only(ApplyCommands).push_options == ()


def test_atomic_counts_only_when_offered(ids: dict[str, str]) -> None:
    data = pkts(f"{ids['s']} {ZERO} refs/heads/side\0{BAND} atomic", None)
    played = push(data, config=ReceiveConfig(stateless=True, advertise_atomic=False))
    assert not played.only(ApplyCommands).atomic


def test_options_of_results_are_for_report_v2_only(ids: dict[str, str]) -> None:
    moved = (CommandResult(b"refs/for/x", None, (b"refname refs/changes/1",)),)
    for caps, expected in [("report-status", 0), ("report-status-v2", 1)]:
        data = pkts(f"{ids['s']} {ZERO} refs/for/x\0{caps}", None)
        sent = unpkts(push(data, World(results=moved)).sent)
        assert sent.count(b"option refname refs/changes/1\n") == expected


def test_push_certificates_are_refused_where_none_is_asked_for() -> None:
    data = pkts(f"push-cert\0{BAND}", "certificate version 0.1\n", "push-cert-end\n", None)
    played = push(data)
    assert played.sent == pkts(b"\3push certificates are not supported\n")
    assert played.effects == []


REPORTED = [
    (Unpacked(b"early EOF"), b"early EOF", None),
    (PackError("/srv/x: bad"), b"index-pack abnormal exit", None),
    (PackError("/srv/x", wire=b"inflate: broken\nat 12"), b"inflate: broken at 12", None),
    (HangupError("gone"), b"the remote end hung up unexpectedly", HangupError),
    (
        RepositoryError("/srv/x: EIO"),
        b"the repository is damaged or unreadable on the server",
        RepositoryError,
    ),
    (ZeroDivisionError("/srv/x"), b"internal server error", ZeroDivisionError),
]


@pytest.mark.parametrize(("fate", "word", "raised"), REPORTED)
@pytest.mark.parametrize("framing", [Framing.NONE, Framing.SIDE_BAND_64K])
def test_a_pack_that_is_not_taken(
    ids: dict[str, str], fate: Any, word: bytes, raised: Any, framing: Framing
) -> None:
    caps = "report-status" if framing is Framing.NONE else BAND
    data = pkts(
        f"{ZERO} {ids['c4']} refs/heads/a\0{caps}", f"{ids['s']} {ZERO} refs/heads/side", None
    )
    played = push(data, World(unpacked=fate))
    report = pkts(
        b"unpack " + word + b"\n",
        b"ng refs/heads/a unpacker error\n",
        b"ng refs/heads/side unpacker error\n",
        None,
    )
    assert played.sent == (report if framing is Framing.NONE else pkts(b"\1" + report, None))
    assert played.left == played.sent
    assert (type(played.error) if played.error else None) is raised
    assert [type(e) for e in played.effects] == [TakePack]


def test_without_a_report_the_error_goes_to_its_band(ids: dict[str, str]) -> None:
    data = pkts(f"{ZERO} {ids['c4']} refs/heads/a\0side-band-64k", None)
    played = push(data, World(unpacked=PackError("x", wire=b"bad pack")))
    assert played.sent == pkts(b"\3bad pack\n")
    assert isinstance(played.error, PackError)


def test_without_a_report_and_bands_nothing_is_said(ids: dict[str, str]) -> None:
    data = pkts(f"{ZERO} {ids['c4']} refs/heads/a", None)
    assert isinstance(push(data, World(unpacked=PackError("x"))).error, PackError)


def test_commands_that_break_down_are_not_reported_as_done(ids: dict[str, str]) -> None:
    data = pkts(f"{ids['s']} {ZERO} refs/heads/side\0{BAND}", None)
    played = push(data, World(results=KeyError("/srv")))
    report = pkts(b"unpack ok\n", b"ng refs/heads/side internal server error\n", None)
    assert played.sent == pkts(b"\1" + report, None)
    assert isinstance(played.error, KeyError)


def test_what_comes_after_the_report_does_not_change_it(ids: dict[str, str]) -> None:
    data = pkts(f"{ids['s']} {ZERO} refs/heads/side\0{BAND}", None)
    well = push(data)
    broken = push(data, World(after=RuntimeError("hook")))
    assert well.sent == broken.sent
    assert isinstance(broken.error, RuntimeError)


def test_a_client_that_is_gone_does_not_hide_why(ids: dict[str, str]) -> None:
    world = World(unpacked=PeerTimeout("slow"))
    session = receive(STATELESS)
    next(session)
    run = play_until_pack(session, ids)
    assert isinstance(run, TakePack)
    session.throw(world.unpacked)
    with pytest.raises(PeerTimeout):
        session.throw(HangupError("gone"))


def play_until_pack(session: Any, ids: dict[str, str]) -> Effect:
    line = f"{ZERO} {ids['c4']} refs/heads/a\0{BAND}".encode()
    assert isinstance(session.send(Run([line], FLUSH)), Agreed)
    return next(session)


def test_limits(ids: dict[str, str]) -> None:
    config = ReceiveConfig(stateless=True, limits=Limits(max_commands=3, max_shallow=2))
    line = f"{ZERO} {ids['c4']} refs/heads/"
    for count, well in [(3, True), (4, False), (1000, False)]:
        lines = [f"{line}{n}\0{BAND}" for n in range(count)]
        played = push(pkts(*lines, None) + EMPTY_PACK, config=config)
        assert (played.error is None) is well
        if not well:
            assert unpkts(played.sent)[-1][:1] == b"\3"
            assert played.effects == []


def test_too_many_push_options(ids: dict[str, str]) -> None:
    config = ReceiveConfig(
        stateless=True, advertise_push_options=True, limits=Limits(max_push_options=2)
    )
    line = f"{ids['s']} {ZERO} refs/heads/side\0{BAND} push-options"
    played = push(pkts(line, None, "a", "b", "c", None), config=config)
    assert played.sent == pkts(b"\3request too large\n")
    assert played.effects == []


def test_real_objects_are_there_for_the_cases(repository: GitRepository, history: Path) -> None:
    # The comparison with git means something only as long as git takes these pushes.
    assert git(history, "cat-file", "-t", "main").strip() == b"commit"
    assert repository.head in repository.objects
