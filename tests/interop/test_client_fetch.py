"""gitserve's client fetching from git's servers and ours, in every protocol version."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from gitserve.errors import NotGitRepository, PeerError
from gitserve.repo import Repo

from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.our_client import Place, Walker, adopt_refs, empty_target, leftovers
from tests.support.repositories import empty, feed_history

Form = Callable[[str], Path]
NEWS = HistoryShape(commits=10, files=3, lines=20, tag_every=0)


@pytest.mark.parametrize("name", ["small", "lively"])
def test_everything(
    place: Place, protocol: int, form: Form, newest_git: Git, tmp_path: Path, name: str
) -> None:
    source, to = form(name), tmp_path / "to.git"
    target = empty_target(newest_git, to)
    result = place.client().fetch(place.locate(source), target, protocol_version=protocol)
    adopt_refs(newest_git, to, result.refs)
    assert_sound(newest_git, to)
    assert refs(newest_git, to) == refs(newest_git, source)
    assert object_ids(newest_git, to) == object_ids(newest_git, source)
    assert result.refs[b"HEAD"].decode() == newest_git.text("rev-parse", "HEAD", cwd=source)
    assert not leftovers(to)


def test_sha256(place: Place, protocol: int, form: Form, newest_git: Git, tmp_path: Path) -> None:
    source, to = form("sha256"), tmp_path / "to.git"
    target = empty_target(newest_git, to, "sha256")
    result = place.client().fetch(place.locate(source), target, protocol_version=protocol)
    adopt_refs(newest_git, to, result.refs)
    assert_sound(newest_git, to)
    assert object_ids(newest_git, to) == object_ids(newest_git, source)
    assert result.object_format == "sha256"


def test_formats_do_not_mix(place: Place, form: Form, newest_git: Git, tmp_path: Path) -> None:
    target = empty_target(newest_git, tmp_path / "to.git")
    with pytest.raises(PeerError, match="mismatched object format"):
        place.client().fetch(place.locate(form("sha256")), target)


def test_only_what_is_new(
    place: Place, protocol: int, lively: Path, newest_git: Git, tmp_path: Path
) -> None:
    to = tmp_path / "to.git"
    newest_git.run("clone", "-q", "--bare", f"file://{lively}", to)
    # History of its own that the server does not know, in front of what both have.
    feed_history(
        newest_git, to, 900, HistoryShape(commits=60, files=3, tag_every=0), "refs/heads/main"
    )
    feed_history(newest_git, lively, 700, NEWS, "refs/heads/main")
    new = newest_git.lines("rev-list", "--objects", "main", "--not", "main~10", cwd=lively)
    target = Repo(to)
    client = place.client()
    result = client.fetch(place.locate(lively), target, protocol_version=protocol)
    # A thin pack is completed with its bases, and a server may send a little too much.
    assert len(new) <= result.objects < len(new) * 2
    newest_git.run(
        "update-ref", "refs/heads/theirs", result.refs[b"refs/heads/main"].decode(), cwd=to
    )
    assert_sound(newest_git, to)
    again = client.fetch(place.locate(lively), target, protocol_version=protocol)
    assert again.objects == 0
    assert again.refs == result.refs


def test_depth_and_then_the_rest(
    place: Place, protocol: int, form: Form, newest_git: Git, tmp_path: Path
) -> None:
    source, to = form("lively"), tmp_path / "to.git"
    target = empty_target(newest_git, to)
    client = place.client()
    where = place.locate(source)

    def main(found: dict[bytes, bytes]) -> list[bytes]:
        return [found[b"refs/heads/main"]]

    first = client.fetch(where, target, main, depth=2, protocol_version=protocol)
    target.refs[b"refs/heads/main"] = first.refs[b"refs/heads/main"]
    assert first.new_shallow
    assert target.get_shallow() == first.new_shallow
    assert_sound(newest_git, to)
    assert len(newest_git.lines("log", "--first-parent", "--format=%H", "main", cwd=to)) == 2

    client.fetch(where, target, main, depth=5, protocol_version=protocol)
    assert_sound(newest_git, to)
    assert len(newest_git.lines("log", "--first-parent", "--format=%H", "main", cwd=to)) == 5

    last = client.fetch(where, target, main, depth=0x7FFFFFFF, protocol_version=protocol)
    assert last.new_unshallow
    assert not target.get_shallow()
    assert not (to / "shallow").exists()
    assert_sound(newest_git, to)
    assert object_ids(newest_git, to) == object_ids(newest_git, source, "main")


def test_since_and_without_a_ref(
    place: Place, protocol: int, form: Form, newest_git: Git, tmp_path: Path
) -> None:
    source, to = form("lively"), tmp_path / "to.git"
    target = empty_target(newest_git, to)
    when = newest_git.text("log", "-1", "--skip=3", "--format=%ct", "main", cwd=source)
    result = place.client().fetch(
        place.locate(source),
        target,
        lambda found: [found[b"refs/heads/main"]],
        shallow_since=when,
        protocol_version=protocol,
    )
    target.refs[b"refs/heads/main"] = result.refs[b"refs/heads/main"]
    assert_sound(newest_git, to)
    expected = newest_git.lines("rev-list", f"--since={when}", "main", cwd=source)
    assert sorted(newest_git.lines("rev-list", "main", cwd=to)) == sorted(expected)


def test_filter(place: Place, protocol: int, lively: Path, newest_git: Git, tmp_path: Path) -> None:
    newest_git.run("config", "uploadpack.allowFilter", "true", cwd=lively)
    to = tmp_path / "to.git"
    target = empty_target(newest_git, to)
    result = place.client().fetch(
        place.locate(lively), target, filter_spec=b"blob:none", protocol_version=protocol
    )
    kinds = newest_git.lines(
        "cat-file", "--batch-check=%(objecttype)", "--batch-all-objects", cwd=to
    )
    assert "blob" not in kinds
    assert kinds.count("commit") == len(newest_git.lines("rev-list", "--all", cwd=lively))
    # With git's own word for where the rest is, git finds nothing missing.
    adopt_refs(newest_git, to, result.refs)
    newest_git.run("config", "core.repositoryFormatVersion", "1", cwd=to)
    newest_git.run("config", "extensions.partialClone", "origin", cwd=to)
    assert_sound(newest_git, to)


def test_tags_come_along(
    place: Place, protocol: int, form: Form, newest_git: Git, tmp_path: Path
) -> None:
    source = form("small")
    to = tmp_path / "to.git"
    target = empty_target(newest_git, to)
    place.client(include_tags=True).fetch(
        place.locate(source),
        target,
        lambda found: [found[b"refs/heads/main"]],
        protocol_version=protocol,
    )
    tag = newest_git.text("rev-parse", "annotated", cwd=source)
    assert newest_git.text("cat-file", "-t", tag, cwd=to) == "tag"


def test_raw_pack(place: Place, protocol: int, form: Form, newest_git: Git, tmp_path: Path) -> None:
    """As in dulwich's tutorial."""
    source, to = form("lively"), tmp_path / "to.git"
    empty(newest_git, to)
    pack, said = BytesIO(), BytesIO()
    result = place.client().fetch_pack(
        place.locate(source).encode(),
        lambda found: found.values(),
        Walker(),
        pack_data=pack.write,
        progress=said.write,
        protocol_version=protocol,
    )
    assert pack.getvalue()[:4] == b"PACK"
    newest_git.run("index-pack", "--stdin", "--strict", cwd=to, stdin=pack.getvalue())
    tip = result.refs[b"refs/heads/main"].decode()
    newest_git.run("update-ref", "refs/heads/main", tip, cwd=to)
    assert object_ids(newest_git, to, "main") == object_ids(newest_git, source, "main")
    assert result.agent
    assert result.agent.startswith((b"git/", b"gitserve/"))
    assert b"Total" in said.getvalue() or b"Enumerating" in said.getvalue()


def test_nothing_wanted(place: Place, protocol: int, form: Form) -> None:
    pack = BytesIO()
    result = place.client().fetch_pack(
        place.locate(form("lively")),
        lambda _refs, depth: [],  # noqa: ARG005
        Walker(),
        pack.write,
        protocol_version=protocol,
    )
    assert not pack.getvalue()
    assert b"refs/heads/main" in result.refs


def test_empty_repository(
    place: Place, protocol: int, served: Path, newest_git: Git, tmp_path: Path
) -> None:
    empty(newest_git, served / "empty.git")
    target = empty_target(newest_git, tmp_path / "to.git")
    result = place.client().fetch(
        place.locate(served / "empty.git"), target, protocol_version=protocol
    )
    assert result.refs == {}
    assert result.objects == 0
    assert not leftovers(tmp_path)


def test_unwanted_want(place: Place, form: Form, newest_git: Git, tmp_path: Path) -> None:
    target = empty_target(newest_git, tmp_path / "to.git")
    with pytest.raises(PeerError, match="not our ref"):
        place.client().fetch(place.locate(form("lively")), target, lambda _refs: [b"12" * 20])
    assert not leftovers(tmp_path)


def test_no_repository(place: Place, base: Path) -> None:
    with pytest.raises(NotGitRepository):
        place.client().get_refs(place.locate(base / "nowhere.git"))


def test_list_refs(place: Place, protocol: int, form: Form, git: Git) -> None:
    source = form("small")
    result = place.client().get_refs(place.locate(source), protocol_version=protocol)
    shown = subprocess.run(
        [git.path, "ls-remote", "--symref", str(source)],
        capture_output=True,
        timeout=30,
        check=True,
    ).stdout.splitlines()
    plain = dict(line.split(b"\t")[::-1] for line in shown if not line.startswith(b"ref: "))
    assert result.refs == plain
    assert result.symrefs == {b"HEAD": b"refs/heads/main"}


def test_list_refs_of_prefixes(place: Place, protocol: int, form: Form, newest_git: Git) -> None:
    source = form("many_refs")
    result = place.client().get_refs(
        place.locate(source), protocol, ref_prefix=[b"refs/heads/group1/", b"refs/tags/group2"]
    )
    expected = {
        name
        for name in refs(newest_git, source)
        if name.startswith(("refs/heads/group1/", "refs/tags/group2"))
    }
    assert {name.decode() for name in result.refs if not name.endswith(b"^{}")} == expected


def test_into_a_repository_of_dulwich(
    place: Place, form: Form, newest_git: Git, tmp_path: Path
) -> None:
    from dulwich.repo import MemoryRepo
    from dulwich.repo import Repo as DulwichRepo

    source, to = form("small"), tmp_path / "to.git"
    empty_target(newest_git, to)
    with DulwichRepo(str(to)) as target:
        result = place.client().fetch(place.locate(source), target)
    adopt_refs(newest_git, to, result.refs)
    assert_sound(newest_git, to)
    assert object_ids(newest_git, to) == object_ids(newest_git, source)
    with pytest.raises(NotGitRepository, match="no repository on disk"):
        place.client().fetch(place.locate(source), MemoryRepo())
