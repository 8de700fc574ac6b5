"""Which haves are said, and which are not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from gitserve.client import LocalGitClient
from gitserve.clients.rounds import IN_VAIN, Rounds
from gitserve.clients.walkers import ForeignWalker, RepositoryWalker
from gitserve.repo import Repo

from tests.support.gits import Git

Form = Callable[[str], Path]


class Source:
    def __init__(self, ids: Iterable[bytes]) -> None:
        self._ids = iter(ids)
        self.acknowledged: list[bytes] = []

    def next_have(self) -> bytes | None:
        return next(self._ids, None)

    def acknowledge(self, object_id: bytes) -> None:
        self.acknowledged.append(object_id)


def test_rounds_grow_and_end() -> None:
    rounds = Rounds(Source(b"%d" % n for n in range(100)), largest=32)
    assert [len(rounds.next_round()) for _ in range(5)] == [16, 32, 32, 20, 0]


def test_enough_is_enough_once_something_is_common() -> None:
    source = Source(b"%d" % n for n in range(10_000))
    rounds = Rounds(source, largest=64)
    said = rounds.next_round()
    assert rounds.acknowledge(said[3])
    assert rounds.acknowledge(said[3])
    assert source.acknowledged == [said[3]]
    count = 0
    while ids := rounds.next_round():
        count += len(ids)
    assert IN_VAIN <= count <= IN_VAIN + 64
    assert not rounds.acknowledge(b"never said")


def test_repository_is_walked_newest_first(form: Form, newest_git: Git) -> None:
    repository = Repo(form("lively"))
    walker = RepositoryWalker(
        repository.object_store.snapshot, repository.get_refs().values(), (), ()
    )
    said = []
    while (commit_id := walker.next_have()) is not None:
        said.append(commit_id.decode())
    times = [
        int(newest_git.text("log", "-1", "--format=%ct", commit_id, cwd=form("lively")))
        for commit_id in said[:10]
    ]
    assert times == sorted(times, reverse=True)
    assert sorted(said) == sorted(newest_git.lines("rev-list", "--all", cwd=form("lively")))


def test_nothing_below_what_is_common(form: Form, newest_git: Git) -> None:
    repository = Repo(form("lively"))
    tips = [repository.refs[b"refs/heads/main"]]
    walker = RepositoryWalker(repository.object_store.snapshot, tips, (), ())
    common = newest_git.text("rev-parse", "main~4", cwd=form("lively")).encode()
    said = []
    while (commit_id := walker.next_have()) is not None:
        said.append(commit_id)
        if commit_id == common:
            walker.acknowledge(common)
    above = newest_git.lines("rev-list", "main", "^main~4", cwd=form("lively"))
    below = newest_git.lines("rev-list", "main~5", cwd=form("lively"))
    assert {i.decode() for i in said} >= set(above)
    # What was in the queue already may be said, but not what is further down.
    assert len({i.decode() for i in said} & set(below)) < len(below) / 2


def test_what_the_server_showed_is_said_and_not_followed(form: Form) -> None:
    repository = Repo(form("lively"))
    main = repository.refs[b"refs/heads/main"]
    walker = RepositoryWalker(repository.object_store.snapshot, [main], (), [main])
    assert walker.next_have() == main
    assert walker.next_have() is None


def test_history_ends_where_it_is_shallow(form: Form) -> None:
    repository = Repo(form("shallow"))
    walker = RepositoryWalker(
        repository.object_store.snapshot,
        repository.get_refs().values(),
        repository.native.shallow,
        (),
    )
    while (commit_id := walker.next_have()) is not None:
        assert commit_id in repository


def test_walkers_of_both_kinds() -> None:
    class Old:
        def __init__(self) -> None:
            self.acked: list[bytes] = []
            self._ids = [b"1", b"2"]

        def next(self) -> bytes | None:
            return self._ids.pop() if self._ids else None

        def ack(self, sha: bytes) -> None:
            self.acked.append(sha)

    class New(Old):
        shallow = frozenset([b"3"])

        def __next__(self) -> bytes:
            if not self._ids:
                raise StopIteration
            return self._ids.pop()

    for kind, shallow in ((Old, ()), (New, {b"3"})):
        theirs = kind()
        walker = ForeignWalker(theirs)
        assert [walker.next_have() for _ in range(3)] == [b"2", b"1", None]
        walker.acknowledge(b"1")
        assert theirs.acked == [b"1"]
        assert set(walker.shallow) == set(shallow)


@pytest.mark.parametrize("version", [0, 2])
def test_negotiation_needs_few_rounds(
    form: Form, newest_git: Git, tmp_path: Path, version: int
) -> None:
    """A clone that is a few commits behind says little."""
    to = tmp_path / "to.git"
    newest_git.run("clone", "-q", "--bare", f"file://{form('lively')}", to)
    behind = newest_git.text("rev-parse", "main~6", cwd=to)
    for ref in newest_git.lines("for-each-ref", "--format=%(refname)", cwd=to):
        newest_git.run("update-ref", "-d", ref, cwd=to)
    newest_git.run("update-ref", "refs/heads/main", behind, cwd=to)
    newest_git.run("repack", "-q", "-a", "-d", cwd=to)
    newest_git.run("prune", "--expire=now", cwd=to)
    written = 0

    def tell(count: int, kind: str) -> None:
        nonlocal written
        written += count if kind == "write" else 0

    target = Repo(to)
    result = LocalGitClient(report_activity=tell).fetch(
        str(form("lively")),
        target,
        lambda refs: [refs[b"refs/heads/main"]],
        protocol_version=version,
    )
    assert result.objects
    assert written < 4000
