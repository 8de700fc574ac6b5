"""The harness measures what it says: recording, the file that is replayed, the table."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benches import conversations, generate, growth, packs
from benches.conversations import Conversation, fetch, recorder, write
from benches.host import Neighbours
from benches.packs import Tree, object_id
from benches.report import Measured, Results, compare, save, table
from benches.run import Bench
from benches.targets import publish
from benches.workloads import Workload


def test_turns_are_cut_where_the_server_spoke() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for _ in range(2):
                    connection.recv(100)
                    connection.sendall(b"answer")
                while connection.recv(100):
                    pass

        server = threading.Thread(target=serve)
        server.start()
        with recorder(listener.getsockname()) as recording:
            client = socket.create_connection(("127.0.0.1", recording.port))
            for said in (b"first", b"second"):
                client.sendall(said)
                client.recv(100)
            client.sendall(b"bye")
            client.close()
        server.join()
    assert recording.conversation() == Conversation((b"first", b"second"), b"bye")


def test_file_of_conversations(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, [Conversation((b"ab", b""), b"0000")])
    assert path.read_bytes() == struct.pack("<III2sII4s", 1, 2, 2, b"ab", 0, 4, b"0000")


def test_fetch_says_done_only_without_haves() -> None:
    assert b"done\n" in fetch("/x", ["1" * 40], []).turns[1]
    assert b"done\n" not in fetch("/x", ["1" * 40], ["2" * 40]).turns[1]


def measured(
    server: str, seconds: float, errors: int = 0, row: str = "work", **more: Any
) -> Measured:
    """A round of a hundred requests."""
    return Measured(row, server, 100, errors, seconds, 5000, 1, 2, 1, 2, seconds, 10**6, **more)


def test_wants_are_added_and_left_out() -> None:
    said = conversations.fetch("/r.git", ["a" * 40, "b" * 40], [])
    more = conversations.with_want(said, "c" * 40)
    assert conversations.wants(more) == ["c" * 40, "a" * 40, "b" * 40]
    less = conversations.without_want(more, 1)
    assert conversations.wants(less) == ["c" * 40, "b" * 40]
    assert less.turns[0] == said.turns[0]


def test_table_shows_medians_ratios_and_failures() -> None:
    theirs = [measured("git daemon", seconds) for seconds in (10.0, 20.0, 90.0)]
    text = table([*theirs, measured("gitserve", 2.0, errors=3)])
    _, git_daemon, gitserve = text.splitlines()
    assert git_daemon.split()[4] == "5.00"
    assert gitserve.split()[1] == "50.00"
    assert gitserve.split()[8] == "10.00"
    assert "3 FAILED" in gitserve


def fetches(server: str, answers: dict[str, int], **more: Any) -> Measured:
    """A round of requests that all differ, told by what answered each."""
    count, sent = len(answers), sum(answers.values())
    numbers = (count, 0, 1.0, sent, 1, 2, 1, 2, 1.0, 10**6)
    return Measured("fetch", server, *numbers, mode="different", answers=answers, **more)


def test_rounds_that_the_host_disturbed_do_not_count() -> None:
    def counted(*rounds: Measured) -> list[Measured]:
        return Results(rounds).by_row["work, repeated"]["gitserve"]

    quiet, stolen = measured("gitserve", 2.0), measured("gitserve", 9.0, stolen=0.2)
    slowed = measured("gitserve", 8.0, slowed=3.0)
    assert counted(stolen, quiet, slowed) == [quiet]
    # the quietest has to do where none is quiet, of each number: another asks for something else
    worse, other = (measured("gitserve", 9.0, stolen=0.3, number=number) for number in (0, 1))
    assert counted(worse, stolen, other) == [stolen, other]
    assert counted(quiet, other) == [quiet, other]
    # what fails is never passed over, and does not stand for the others
    failed = measured("gitserve", 9.0, stolen=0.4, errors=1)
    assert counted(failed, quiet) == [failed, quiet]
    assert counted(failed, stolen) == [failed, stolen]


def test_patience_with_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [100.0], list[float]()
    looks: list[bool] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    neighbours = Neighbours()
    monkeypatch.setattr(Neighbours, "_is_quiet", lambda _: looks.pop(0))
    monkeypatch.setattr("benches.host.time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    neighbours.wait(0.0)  # who has none does not look
    looks[:] = [False, False, True, True]
    neighbours.wait(60.0)
    assert (looks, slept) == ([True], [5.0, 5.0])
    looks[:] = [False] * 9
    neighbours.wait(12.0)
    assert (len(looks), slept[2:]) == (6, [5.0, 5.0, 2.0])


@pytest.mark.parametrize(
    ("stolen", "took", "quiet"), [(9, 1.0, True), (90, 1.0, False), (9, 3.0, False)]
)
def test_a_host_is_quiet(
    monkeypatch: pytest.MonkeyPatch, stolen: int, took: float, quiet: bool
) -> None:
    """It is looked at while there is work: of 300 ticks it has taken so many."""
    neighbours = Neighbours()
    neighbours._best = 1.0
    ticks = iter([(0, 0), (stolen, 300)])
    monkeypatch.setattr("benches.host.processor_time", lambda: next(ticks))
    monkeypatch.setattr("benches.host._LOOK", 0.001)
    monkeypatch.setattr(Neighbours, "_probe", lambda _: took)
    assert neighbours._is_quiet() is quiet


def test_bytes_of_disturbed_rounds_are_compared() -> None:
    theirs = [fetches("git daemon", {"0": 100, "1": 100})]
    ours = [fetches("gitserve", {"0": 130}, stolen=0.5), fetches("gitserve", {"1": 100})]
    ratios = Results([*theirs, *ours]).ratios("fetch, different", "gitserve")
    assert ratios is not None
    assert (ratios.worst, ratios.compared) == (1.3, 2)


def test_a_disturbed_round_is_measured_again_and_failures_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturbed, quiet = measured("gitserve", 1.0, stolen=0.5), measured("gitserve", 3.0)
    script: list[Measured | Exception] = []

    def one_round(*asked: object) -> Measured:
        assert asked[2:] == ("gitserve", 0, None)
        said = script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(Bench, "round", one_round)
    there: Any = {"gitserve": None}
    nothing: Any = None
    bench = Bench(tmp_path, nothing, there, tmp_path, 1, 9.0, 1.0, 1)
    work = Workload("work", "cold", 2, tmp_path, 1, 1, 1, ("gitserve",))
    script[:] = [disturbed, disturbed, quiet, quiet]
    assert list(bench.workload(work)) == [disturbed, disturbed, quiet]
    assert script == [quiet]
    script[:] = [disturbed, RuntimeError("it does not start")]
    assert list(bench.workload(work)) == [disturbed]
    script[:] = [disturbed] * 9
    assert len(list(bench.workload(work))) == 4


def test_the_same_requests_are_asked_of_a_server_that_has_not_answered_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str, int]] = []

    class Started:
        @contextmanager
        def serving(self, *_: object) -> Iterator[str]:
            yield "another"

    def measure(_: Bench, __: Workload, daemon: str, number: int) -> Measured:
        done.append(("measured", daemon, number))
        return measured("gitserve", 1.0)

    def warm(_: Bench, __: Workload, daemon: str) -> None:
        done.append(("warmed", daemon, 0))

    monkeypatch.setattr(Bench, "measure", measure)
    monkeypatch.setattr(Bench, "warm", warm)
    there: Any = {"gitserve": Started(), "git daemon": Started()}
    found: Any = SimpleNamespace(base=tmp_path)
    bench = Bench(tmp_path, found, there, tmp_path, 1, 9.0, 1.0, 1)
    differing = Workload("work", "different", 2, tmp_path, 9, 1, 1, ("gitserve",))
    running: Any = "running"
    for number in (0, 2):
        bench.again(differing, "gitserve", number, running)
    # the first round warms by itself
    later = [("warmed", "another", 0), ("measured", "another", 2)]
    assert done == [("measured", "another", 0), *later]
    done.clear()
    # git forgets, and what is repeated may be repeated
    bench.again(differing, "git daemon", 2, running)
    bench.again(replace(differing, mode="repeated"), "gitserve", 2, running)
    assert done == [("measured", "running", 2)] * 2


def test_bytes_are_compared_over_what_both_have_answered(tmp_path: Path) -> None:
    # Ours got further, to where answers are small: a mean of each side says 0.88.
    theirs = [fetches("git daemon", {"0": 100, "1": 100})]
    ours = [fetches("gitserve", {"0": 100, "1": 130, "2": 50, "3": 70})]
    ratios = Results([*theirs, *ours]).ratios("fetch, different", "gitserve")
    assert ratios is not None
    assert (ratios.sent, ratios.worst, ratios.compared) == (1.15, 1.3, 2)
    assert table([*theirs, *ours]).splitlines()[2].split()[-3:] == ["1.15", "1.30", "-"]

    # What one round did not reach, another may have.
    theirs.append(fetches("git daemon", {"2": 10, "1": 100}))
    ratios = Results([*theirs, *ours]).ratios("fetch, different", "gitserve")
    assert ratios is not None
    assert (ratios.sent, ratios.worst, ratios.compared) == (280 / 210, 5.0, 3)

    stored(tmp_path, [*theirs, *ours])
    (tmp_path / "README.md").write_text("<!-- results --><!-- end of results -->")
    publish(tmp_path, None)
    page = (tmp_path / "README.md").read_text()
    assert "**missed**; the most is 1.333, fetch, different (some)." in page
    assert "the most is 5.000: one of 3 that both have answered, fetch, different" in page


def test_speed_is_compared_over_what_both_have_answered() -> None:
    def rounds(number: int, theirs: dict[str, float], ours: dict[str, float]) -> list[Measured]:
        return [
            fetches(server, dict.fromkeys(took, 1), number=number, took_ms=took)
            for server, took in (("git daemon", theirs), ("gitserve", ours))
        ]

    def speed(*found: list[Measured]) -> float | None:
        rounds = [one for some in found for one in some]
        ratios = Results(rounds).ratios("fetch, different", "gitserve")
        assert ratios is not None
        return ratios.speed

    # in the same second ours has answered one that takes as long as all others together
    apart = rounds(0, {"0": 30.0, "1": 50.0}, {"0": 3.0, "1": 5.0, "2": 90.0})
    assert speed(apart) == 10.0
    # the next round asks for more
    heavy = rounds(1, {"3": 600.0}, {"3": 50.0, "4": 1.0})
    assert speed(apart, heavy) == 11.0
    # who has answered the same is compared by the clock
    assert speed(rounds(0, {"0": 30.0, "1": 50.0}, {"0": 3.0, "1": 5.0})) == 1.0
    # nor is there more to say of what only one has answered
    assert speed(rounds(0, {"0": 30.0}, {"1": 5.0})) == 1.0


def test_bytes_of_nothing_in_common_are_not_compared() -> None:
    for theirs, ours in (({"0": 9}, {"1": 9}), ({}, {"1": 9}), ({}, {})):
        rounds = [fetches("git daemon", theirs), fetches("gitserve", ours)]
        ratios = Results(rounds).ratios("fetch, different", "gitserve")
        assert ratios is not None
        assert (ratios.sent, ratios.worst) == (None, None)
    same = [measured("git daemon", 1.0), measured("gitserve", 1.0)]
    ratios = Results(same).ratios("work, repeated", "gitserve")
    assert ratios is not None
    assert ratios.sent == 1.0


def test_no_generated_commit_is_younger_than_those_pushed_on_top() -> None:
    pushed = int(packs.WHO.split()[-2])
    for commits in (100, 1_000_000):
        stream = generate.history(1, commits)
        said = next(stream) + next(stream)
        first, second = map(int, re.findall(rb"(?m)^committer .* (\d+) \+0000$", said))
        assert first < second
        assert first + (commits - 1) * (second - first) < pushed


def test_growth_leaves_out_what_would_take_git_daemon_minutes() -> None:
    def point(server: str, size: int, seconds: float) -> growth.Point:
        return growth.Point("commits", size, "clone", server, 1.0, 1.0, seconds * 1000, 1.0, 1, 0)

    smaller = [point("git daemon", 10, 0.1), point("gitserve", 10, 99.0)]
    both = ("git daemon", "gitserve")
    assert growth.servers_for(1000, []) == both
    assert growth.servers_for(100_000, smaller) == both
    growing = [*smaller, point("git daemon", 100, 1.0), point("gitserve", 100, 0.1)]
    assert growth.servers_for(1000, growing) == both
    assert growth.servers_for(10_000, growing) == ("gitserve",)
    steady = [*smaller, point("git daemon", 100, 0.1)]
    assert growth.servers_for(100_000, steady) == both
    assert "-" in growth.table([*smaller, point("gitserve", 10_000, 1.0)]).splitlines()[1]


def test_comparison_tells_what_has_changed() -> None:
    before = [measured("git daemon", 10.0), measured("gitserve", 2.0)]
    after = [measured("git daemon", 10.0), measured("gitserve", 1.0)]
    line = compare([*before, measured("gitserve", 1.0, row="gone")], after).splitlines()
    assert "5.00 -> 10.00 +100%" in line[1]
    assert line[2] == "not measured this time: gone, repeated"


def stored(folder: Path, rounds: list[Measured]) -> None:
    """A file of results."""
    sizes = {"count": 1, "size": 1, "in-pack": 2, "size-pack": 10, "packs": 1, "refs": 3}
    machine = {"processor": "x", "processors": 2, "memory GB": 1, "system": "L", "python": "3"}
    save(folder / "some.json", rounds, machine | {"git": "git 2", "repository": sizes})


def test_targets_are_judged_from_stored_results(tmp_path: Path) -> None:
    row = "ls-refs, 1000 refs"
    push = "push of one commit, 1000 refs"
    stored(
        tmp_path,
        [
            measured("git daemon", 13.0, row=row, connections=8),
            measured("gitserve", 1.0, row=row, connections=8),
            measured("git daemon", 9.0, row=push, mode="push", version=0),
            measured("gitserve", 1.0, row=push, mode="push", version=0),
            measured("gitserve", 3.0, row="after 10 pushes: clone"),
            measured("gitserve", 1.0, row="after 10 pushes, packed anew: clone"),
        ],
    )
    for name in ("README.md", "TOP.md"):
        (tmp_path / name).write_text(
            "Above\n<!-- results -->\nold\n<!-- end of results -->\nBelow\n"
        )
    publish(tmp_path, tmp_path / "TOP.md", "a command")
    page, top = ((tmp_path / name).read_text() for name in ("README.md", "TOP.md"))
    costs = "7.7 /s, 13 ms CPU | 100 /s, 1.00 ms CPU"
    assert f"| ls-refs, 1,000 refs | some | {costs} | 13.0x | 12x | met |" in page
    assert "| 9.0x | 10x | **missed** |" in page
    assert "3.00 times the CPU and 1.00 times the wait" in page
    assert re.fullmatch(r"Above\n.*Below\n", page, re.DOTALL)
    assert "old" not in page
    assert f"| ls-refs, 1,000 refs (some) | {costs} | 13.0 |" in top

    # from the same results once more: they are still made as they were
    publish(tmp_path, None)
    assert (tmp_path / "README.md").read_text() == page
    assert "<!-- results -->\n    a command\n\n" in page


def test_a_delta_makes_the_tree_that_it_says() -> None:
    lines = [b"100644 %s\0" % name + object_id(b"blob", name) for name in (b"a", b"c", b"d")]
    tree = Tree(b"".join(lines))
    for name, before, after in ((b"b", 1, 1), (b"c", 1, 2), (b"e", 3, 3)):
        content, delta = tree.with_file(name, b"x" * 20)
        line = b"100644 " + name + b"\0" + b"x" * 20
        assert content == b"".join(lines[:before]) + line + b"".join(lines[after:])
        assert line in delta
