"""Random fetches from random repositories: git's upload-pack is asked the same, byte for byte.

Same acknowledgments, same shallow lines, same ref lines, same refusals in the same words, and the
same objects in the pack. ``DIALOGUES=5000`` has that many had, over many more repositories, with
new ones each time; else it is a fixed set, for CI.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.dialogue import Answer, Asked, ask_git, ask_us, pkts
from tests.support.gits import Git, installed_gits
from tests.support.packs import read_pack
from tests.support.world import World, make_shallow_world, make_world

LONG = int(os.environ.get("DIALOGUES", "0"))
PROFILE = settings(
    max_examples=LONG or 250,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
)
SEEDS = 60 if LONG else 6

CRASH = b"aborting due to possible repository corruption"
"""git's pack-objects could not cope with what its upload-pack asked of it: commits that the
repository has no parents of, told to be complete."""

Worlds = Callable[[int], World]
Item = Any


@pytest.fixture(scope="session")
def worlds(newest_git: Git, tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """Repositories by number, made when they are first asked for."""
    folder = tmp_path_factory.mktemp("worlds")
    made: dict[int, World] = {}

    def get(number: int) -> World:
        if number not in made:
            path = folder / f"{number}.git"
            if number % 3 == 2:
                made[number] = make_shallow_world(newest_git, path, get(number - 1), number % 4 + 1)
            else:
                object_format = "sha256" if number % 6 == 3 else "sha1"
                made[number] = make_world(newest_git, path, number, object_format)
        return made[number]

    return get


# --- what is asked ----------------------------------------------------------


def some(draw: Any, choices: list[Any], most: int, least: int = 0) -> list[Any]:
    return (
        draw(st.lists(st.sampled_from(choices), min_size=least, max_size=most)) if choices else []
    )


def wants(draw: Any, world: World) -> list[str]:
    """Mostly tips, as honest clients ask; sometimes anything."""
    tips = sorted(set(world.refs.values()))
    if draw(st.integers(0, 5)):
        return some(draw, tips, 4, 1)
    absent = ["12" * (len(tips[0]) // 2)]
    return some(draw, [*world.things, *tips, *absent], 3, 1)


def haves(draw: Any, world: World, most: int = 6) -> list[str]:
    absent = ["ab" * (len(world.commits[0]) // 2), "cd" * (len(world.commits[0]) // 2)]
    choices = world.commits * 3 + absent * 3 + world.ids("tag") + world.ids("tree")[:2]
    return some(draw, choices, most)


def shallows(draw: Any, world: World) -> list[str]:
    return some(draw, world.commits + world.commits[:1], 2) if not draw(st.integers(0, 2)) else []


DATES = [1_700_000_000, 1_700_100_000, 1_700_300_000, 1_700_600_000, 1_701_000_000, 2_000_000_000]


def deepening(draw: Any, world: World) -> list[bytes]:
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return [b"deepen %d" % draw(st.sampled_from([1, 2, 3, 5, 2147483647]))]
    if kind == 1:
        return [b"deepen-since %d" % draw(st.sampled_from(DATES))]
    if kind == 2:
        names = [*world.refs, "main", "first", "nothing", "refs/heads/nothing"]
        return [b"deepen-not " + name.encode() for name in some(draw, names, 2, 1)]
    if kind == 3 and not draw(st.integers(0, 3)):
        names = list(world.refs)
        return [b"deepen-since %d" % draw(st.sampled_from(DATES)),
                *[b"deepen-not " + name.encode() for name in some(draw, names, 1, 1)]]  # fmt: skip
    return []


FILTERS = [
    "blob:none", "blob:limit=0", "blob:limit=100", "blob:limit=1k", "tree:0", "tree:1", "tree:2",
    "tree:3", "object:type=commit", "object:type=tree", "object:type=blob", "object:type=tag",
    "combine:blob:none+tree:2", "combine:tree:1+blob:limit=50", "combine:object:type=blob+tree:3",
    "blob:some", "tree:", "tree:-1", "object:type=none", "", "combine:", "combine:tree:2+",
    "combine:blob%3anone+tree:1",
]  # fmt: skip


def filters(draw: Any) -> list[bytes]:
    if draw(st.integers(0, 3)):
        return []
    return [b"filter " + spec.encode() for spec in some(draw, FILTERS, 1, 1)]


SETTINGS = [
    ("uploadpack.allowTipSHA1InWant", "true"),
    ("uploadpack.allowReachableSHA1InWant", "true"),
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("transfer.hideRefs", "refs/hidden"),
    ("uploadpack.hideRefs", "!refs/hidden/h0"),
    ("uploadpack.hideRefs", "refs/tags"),
    ("lsrefs.unborn", "ignore"),
    ("uploadpackfilter.tree.maxDepth", "2"),
    ("uploadpackfilter.blob:none.allow", "false"),
]
OFFERS = (
    ("uploadpack.allowFilter", "true"),
    ("uploadpack.allowRefInWant", "true"),
    ("uploadpack.allowSidebandAll", "true"),
    ("transfer.advertiseObjectInfo", "true"),
)


def configured(draw: Any) -> tuple[tuple[str, str], ...]:
    chosen = draw(st.lists(st.sampled_from(SETTINGS), max_size=2, unique=True))
    return (*(OFFERS if draw(st.integers(0, 4)) else ()), *chosen)


V0_CAPABILITIES = [
    "multi_ack", "multi_ack_detailed", "no-done", "side-band", "side-band-64k", "ofs-delta",
    "thin-pack", "include-tag", "no-progress", "deepen-relative", "filter",
]  # fmt: skip


@st.composite
def v0_requests(draw: Any, worlds: Worlds) -> tuple[World, Asked]:
    """One dialogue of version 0 or 1."""
    world = worlds(draw(st.integers(0, SEEDS - 1)))
    listed = draw(st.lists(st.sampled_from(V0_CAPABILITIES), unique=True, max_size=8))
    listed.append(f"object-format={world.object_format}")
    items: list[Item] = []
    wanted = wants(draw, world)
    for number, want in enumerate(wanted):
        tail = " " + " ".join(listed) if number == 0 else ""
        items.append(f"want {want}{tail}\n".encode())
    items += [b"shallow %b" % one.encode() for one in shallows(draw, world)]
    items += deepening(draw, world)
    items += filters(draw) if "filter" in listed else []
    items.append(None)
    stateless = draw(st.booleans())
    for _ in range(draw(st.integers(0, 1 if stateless else 3))):
        items += [b"have %b\n" % have.encode() for have in haves(draw, world)]
        items.append(None)
    items += [b"have %b\n" % have.encode() for have in haves(draw, world)]
    if draw(st.integers(0, 6)):
        items.append(b"done\n")
    elif items[-1] is not None:
        items.append(None)
    asked = Asked(
        "upload-pack", world.path, pkts(items), draw(st.integers(0, 1)), stateless,
        configured(draw), draw(st.sampled_from([1 << 16, 7, 100])),
    )  # fmt: skip
    return world, asked


def ls_refs(draw: Any, world: World) -> list[Item]:
    items: list[Item] = [b"command=ls-refs\n", f"object-format={world.object_format}".encode(), ...]
    items += some(draw, [b"peel\n", b"symrefs\n", b"unborn\n"], 3)
    prefixes = ["HEAD", "refs/", "refs/heads/", "refs/tags/", "refs/hidden/", "refs/heads/main",
                "refs/odd", "nothing", "", "r"]  # fmt: skip
    items += [f"ref-prefix {name}".encode() for name in some(draw, prefixes, 3)]
    return [*items, None]


def object_info(draw: Any, world: World) -> list[Item]:
    items: list[Item] = [b"command=object-info", f"object-format={world.object_format}".encode()]
    items.append(...)
    items += some(draw, [b"size"], 1)
    absent = ["12" * (len(world.commits[0]) // 2)]
    items += [f"oid {one}".encode() for one in some(draw, [*list(world.things)[:20], *absent], 3)]
    return [*items, None]


def fetch(draw: Any, world: World) -> list[Item]:
    items: list[Item] = [b"command=fetch", f"object-format={world.object_format}".encode(), ...]
    flags = ["thin-pack", "no-progress", "include-tag", "ofs-delta", "wait-for-done",
             "sideband-all", "deepen-relative"]  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(flags), unique=True, max_size=4))
    items += [flag.encode() for flag in chosen]
    items += [f"want {want}\n".encode() for want in wants(draw, world)]
    if not draw(st.integers(0, 5)):
        names = [*world.refs, "HEAD", "refs/heads/nothing", "main"]
        items += [f"want-ref {name}\n".encode() for name in some(draw, names, 2)]
    items += [b"shallow %b" % one.encode() for one in shallows(draw, world)]
    deeper = deepening(draw, world)
    if not deeper:  # relative to nothing: git counts over the end of its integers
        items = [item for item in items if item != b"deepen-relative"]
    items += deeper
    items += filters(draw)
    # each once: git 2.39 acknowledges as often as it is asked
    said = dict.fromkeys(haves(draw, world, 8))
    items += [b"have %b\n" % have.encode() for have in said]
    if draw(st.integers(0, 2)):
        items.append(b"done\n")
    return [*items, None]


@st.composite
def v2_requests(draw: Any, worlds: Worlds) -> tuple[World, Asked]:
    """Some commands of version 2; one over a stateless road."""
    world = worlds(draw(st.integers(0, SEEDS - 1)))
    stateless = draw(st.booleans())
    items: list[Item] = []
    settings = configured(draw)
    commands = [fetch, fetch, fetch, fetch, ls_refs]
    if settings[:1] == OFFERS[:1]:  # git 2.39 has object-info where it is not offered
        commands.append(object_info)
    for _ in range(1 if stateless else draw(st.integers(1, 3))):
        command = draw(st.sampled_from(commands))
        items += command(draw, world)
        if command is fetch:  # git's process keeps marks of one fetch through the next
            commands = [ls_refs]
    asked = Asked(
        "upload-pack", world.path, pkts(items), 2, stateless, settings,
        draw(st.sampled_from([1 << 16, 7, 100])),
    )  # fmt: skip
    return world, asked


# --- what is compared -------------------------------------------------------


def comparable(answer: Answer) -> list[Item]:
    """Items; runs of shallow lines in one order; agents and what they alone offer left out."""
    items: list[Item] = []
    run: list[bytes] = []
    for item in [*answer.items, "end"]:
        if isinstance(item, bytes):
            bare = item.removeprefix(b"\1")
            if bare.startswith((b"shallow ", b"unshallow ")):
                run.append(item)
                continue
        items += sorted(set(run))
        run = []
        if isinstance(item, bytes):
            line = _without_agent(item)
            if line is not None:
                items.append(line)
        elif item != "end":
            items.append(item)
    return _in_documented_order(items)


def _in_documented_order(items: list[Item]) -> list[Item]:
    """git writes ``wanted-refs`` before ``shallow-info``, which neither its document
    (gitprotocol-v2, "fetch") nor its own client expects."""
    names = [item.removeprefix(b"\1") if isinstance(item, bytes) else item for item in items]
    for at, name in enumerate(names):
        if name == b"wanted-refs\n":
            end = items.index(..., at) if ... in items[at:] else len(items)
            if names[end + 1 : end + 2] == [b"shallow-info\n"] and ... in items[end + 1 :]:
                after = items.index(..., end + 1)
                moved = items[end + 1 : after + 1] + items[at : end + 1]
                return items[:at] + moved + _in_documented_order(items[after + 1 :])
    return items


def _acknowledged_once(items: list[Item]) -> list[Item]:
    """git says its one acknowledgment again for each have that the first one implies."""
    acks = [i for i, item in enumerate(items) if isinstance(item, bytes) and item[:4] == b"ACK "]
    return [item for i, item in enumerate(items) if i not in acks[1:]]


def _without_own(world: World, items: list[Item]) -> list[Item]:
    """Asked by date or ref, git says nothing of the commits at which the repository's own history
    ends, or even that they are complete; a client would miss their parents."""
    own = [word + one.encode() for word in (b"shallow ", b"unshallow ") for one in world.shallow]
    return [i for i in items if not isinstance(i, bytes) or i.removeprefix(b"\1") not in own]


def _without_implied(world: World, items: list[Item]) -> list[Item]:
    """git, since 2.40 or so, does not acknowledge a parent of what it has just acknowledged."""
    kept: list[Item] = []
    implied: set[str] = set()
    for item in items:
        if isinstance(item, bytes) and item.removeprefix(b"\1")[:4] == b"ACK ":
            one = item.removeprefix(b"\1")[4:].strip().decode()
            links = world.things[one].links if world.things[one].kind == "commit" else []
            known = one in implied
            implied |= {linked for role, linked in links if role == "parent"}
            if known:
                continue
        elif not isinstance(item, bytes):
            implied = set()
        kept.append(item)
    return kept


def _without_agent(line: bytes) -> bytes | None:
    if line.startswith(b"agent=") or line == b"object-info\n":  # git 2.39 offers this always
        return None
    if b"\0" in line:
        name, _, offered = line.partition(b"\0")
        kept = [word for word in offered.split() if not word.startswith(b"agent=")]
        return name + b"\0" + b" ".join(kept)
    return line.rstrip(b"\n") if line.startswith((b"ERR ", b"BAD ")) else line


def clients(world: World, asked: Asked) -> set[str]:
    """What the client has, by its own words: a shallow commit it has, too."""
    has, ends = [], set()
    spoken = rf"(have|shallow) ([0-9a-f]{{{len(world.commits[0])}}})"
    for verb, object_id in re.findall(spoken.encode(), asked.said):
        has.append(object_id.decode())
        if verb == b"shallow":
            ends.add(object_id.decode())
    return world.closure(has, frozenset(ends))


def compare(world: World, asked: Asked, git: Git) -> None:
    if b"object-info" in asked.said or b"want-ref" in asked.said:
        git = installed_gits()[0]  # 2.39 always tells sizes, and a ref as often as it is asked
    theirs, ours = ask_git(git, asked), ask_us(asked)
    sent, expected = comparable(ours), comparable(theirs)
    if _stricter(world, ours, theirs) or CRASH in theirs.told:
        return
    if asked.version < 2 and b"multi_ack" not in asked.said.partition(b"0000")[0]:
        sent, expected = _acknowledged_once(sent), _acknowledged_once(expected)
    if asked.version == 2:
        sent, expected = _without_implied(world, sent), _without_implied(world, expected)
    if re.search(rb"deepen-(since|not) ", asked.said):
        sent, expected = _without_own(world, sent), _without_own(world, expected)
    pairs = enumerate(zip([*sent, "end"], [*expected, "end"], strict=False))
    same = next((at for at, (one, other) in pairs if one != other), len(sent))
    shown = (
        f"{asked}\n{asked.said.decode(errors='replace')}\nafter {sent[:same][-3:]}\n"
        f"git: {expected[same:][:6]} {theirs.failed}\nours: {sent[same:][:6]} {ours.failed}"
    )
    if not theirs.failed:
        assert same == len(sent) == len(expected), shown
        assert not ours.failed, shown
    elif theirs.told and ours.told and fault(theirs) != fault(ours):
        # more than one thing is wrong with it, and each side says what it has seen first
        assert ours.failed, shown
        assert fault(theirs) in FAULTS, shown
        assert fault(ours) in FAULTS, shown
    elif theirs.told:
        assert same == len(sent) == len(expected), shown
        assert ours.failed, shown
    else:
        # what git says to its standard error alone, and sees a line earlier or later
        assert ours.failed, shown
        assert same >= min(len(sent) - 1, len(expected)), shown
        assert "pack" not in sent[len(expected) :], shown
    if theirs.failed:
        return
    for our_data, their_data in zip(ours.packs, theirs.packs, strict=True):
        their_pack, our_pack = read_pack(their_data, world), read_pack(our_data, world)
        only_ours = our_pack.ids - their_pack.ids
        only_theirs = their_pack.ids - our_pack.ids
        # How much of what the client has is sent again is each side's estimate: git looks behind
        # the haves by a number of commits, we at the paths that are sent. Never a commit of ours.
        had = clients(world, asked)
        only_theirs -= had
        only_ours -= had - set(world.commits)
        # and a tag goes along with what it stands for
        only_theirs = {one for one in only_theirs if world.peeled(one) not in had}
        if b"include-tag" in asked.said and any("hideRefs" in key for key, _ in asked.settings):
            # git lets hidden ones go along, too
            only_theirs -= set(world.ids("tag"))
        only_ours = {one for one in only_ours if world.peeled(one) not in had & our_pack.ids}
        assert not only_ours, f"sent too much: {only_ours}\n{shown}"
        assert not only_theirs, f"not sent: {only_theirs}\n{shown}"
        if b"thin-pack" not in asked.said:
            assert not our_pack.outside, shown
        if b"ofs-delta" not in asked.said:
            assert not our_pack.offset_deltas, shown


FAULTS = (
    b"ERR upload-pack: not our ref ", b"ERR unknown ref ", b"ERR duplicate want-ref ",
    b"ERR filter ",
    b"ERR tree filter allows max depth", b"ERR git upload-pack: deepen-not is not a ref",
    b"ERR no commits selected for shallow requests", b"ERR invalid filter-spec ",
    b"ERR expected 'tree:<depth>'", b"ERR expected something after combine:",
)  # fmt: skip


def fault(answer: Answer) -> bytes:
    """What kind of refusal it is."""
    told = answer.told.replace(b"BAD ", b"ERR ")
    if b"for 'object:type=" in told:
        return b"ERR filter "
    return next((words for words in FAULTS if told.startswith(words)), told)


def _stricter(world: World, ours: Answer, theirs: Answer) -> bool:
    """Did we refuse a tag that is no tip? git's v0 asks only whether what it stands for is."""
    refused = ours.told.removeprefix(b"ERR upload-pack: not our ref ").decode()
    thing = world.things.get(refused)
    return theirs.told != ours.told and thing is not None and thing.kind == "tag"


def test_v0(worlds: Worlds) -> None:
    @PROFILE
    @given(v0_requests(worlds), st.sampled_from(installed_gits()))
    def check(drawn: tuple[World, Asked], git: Git) -> None:
        compare(*drawn, git)

    check()


def test_v2(worlds: Worlds) -> None:
    @PROFILE
    @given(v2_requests(worlds), st.sampled_from(installed_gits()))
    def check(drawn: tuple[World, Asked], git: Git) -> None:
        compare(*drawn, git)

    check()
