"""gitserve's client pushing to git's servers and ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dulwich.repo import Repo as DulwichRepo
from gitserve.client import PushError
from gitserve.errors import PeerError
from gitserve.repo import Repo

from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.our_client import Place
from tests.support.repositories import empty, feed_history

Form = Callable[[str], Path]
ZERO = b"0" * 40


def all_refs(repository: Repo) -> dict[bytes, bytes]:
    return {n: v for n, v in repository.get_refs().items() if n.startswith(b"refs/")}


@pytest.mark.parametrize("name", ["small", "many_refs"])
def test_everything(place: Place, form: Form, served: Path, newest_git: Git, name: str) -> None:
    mine, to = Repo(form(name)), served / "new.git"
    empty(newest_git, to)
    result = place.client().send_pack(place.locate(to), lambda _refs: all_refs(mine), mine)
    assert result.ref_status
    assert not any(result.ref_status.values())
    assert_sound(newest_git, to)
    assert refs(newest_git, to) == refs(newest_git, form(name))
    assert object_ids(newest_git, to) == object_ids(newest_git, form(name))


def test_sha256(place: Place, form: Form, served: Path, newest_git: Git) -> None:
    mine, to = Repo(form("sha256")), served / "new.git"
    newest_git.run("init", "-q", "--bare", "--object-format=sha256", to)
    (to / "git-daemon-export-ok").touch()
    result = place.client().send_pack(place.locate(to), lambda _refs: all_refs(mine), mine)
    assert not any((result.ref_status or {}).values())
    assert object_ids(newest_git, to) == object_ids(newest_git, form("sha256"))


def test_update_create_delete(place: Place, lively: Path, newest_git: Git, tmp_path: Path) -> None:
    mine = tmp_path / "mine.git"
    newest_git.run("clone", "-q", "--bare", f"file://{lively}", mine)
    shape = HistoryShape(commits=5, files=3, tag_every=0)
    feed_history(newest_git, mine, 800, shape, "refs/heads/main")
    newest_git.run("branch", "gone", "main", cwd=lively)
    repository = Repo(mine)
    seen: dict[bytes, bytes] = {}

    def update(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
        seen.update(found)
        main = repository.refs[b"refs/heads/main"]
        return {b"refs/heads/main": main, b"refs/heads/new": main, b"refs/heads/gone": ZERO}

    before = refs(newest_git, lively)
    result = place.client().send_pack(place.locate(lively), update, repository, atomic=True)
    assert result.ref_status == dict.fromkeys(
        [b"refs/heads/main", b"refs/heads/new", b"refs/heads/gone"]
    )
    assert {n.decode(): v.decode() for n, v in seen.items() if n != b"HEAD"} == before
    after = refs(newest_git, lively)
    main = newest_git.text("rev-parse", "main", cwd=mine)
    assert (after["refs/heads/main"], after["refs/heads/new"]) == (main, main)
    assert "refs/heads/gone" not in after
    assert_sound(newest_git, lively)


def test_only_deletions(place: Place, lively: Path, newest_git: Git) -> None:
    newest_git.run("branch", "gone", "main", cwd=lively)
    result = place.client().send_pack(
        place.locate(lively), lambda _refs: {b"refs/heads/gone": ZERO}, Repo(lively)
    )
    assert result.ref_status == {b"refs/heads/gone": None}
    assert "refs/heads/gone" not in refs(newest_git, lively)


def test_nothing_to_do(place: Place, lively: Path) -> None:
    result = place.client().send_pack(place.locate(lively), lambda found: found, Repo(lively))
    assert not any((result.ref_status or {}).values())


def test_rejected(place: Place, lively: Path, newest_git: Git) -> None:
    newest_git.run("config", "receive.denyNonFastForwards", "true", cwd=lively)
    older = newest_git.text("rev-parse", "main~3", cwd=lively).encode()
    before = refs(newest_git, lively)
    result = place.client().send_pack(
        place.locate(lively),
        lambda _refs: {b"refs/heads/main": older, b"refs/heads/fine": older},
        Repo(lively),
    )
    assert result.ref_status == {
        b"refs/heads/main": "non-fast-forward",
        b"refs/heads/fine": None,
    }
    assert refs(newest_git, lively) == {**before, "refs/heads/fine": older.decode()}


def test_hook_speaks_and_declines(place: Place, lively: Path, newest_git: Git) -> None:
    hook = lively / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not on a Sunday\nexit 1\n")
    hook.chmod(0o755)
    tip = newest_git.text("rev-parse", "main~1", cwd=lively).encode()
    said: list[bytes] = []
    result = place.client().send_pack(
        place.locate(lively), lambda _refs: {b"refs/heads/x": tip}, Repo(lively), said.append
    )
    assert result.ref_status == {b"refs/heads/x": "pre-receive hook declined"}
    assert b"not on a Sunday" in b"".join(said)


def test_push_options(place: Place, lively: Path, newest_git: Git) -> None:
    newest_git.run("config", "receive.advertisePushOptions", "true", cwd=lively)
    hook = lively / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho got $GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0\n")
    hook.chmod(0o755)
    tip = newest_git.text("rev-parse", "main~1", cwd=lively).encode()
    said: list[bytes] = []
    place.client().send_pack(
        place.locate(lively),
        lambda _refs: {b"refs/heads/x": tip},
        Repo(lively),
        said.append,
        push_options=[b"ci.skip"],
    )
    assert b"got 1 ci.skip" in b"".join(said)


def test_broken_pack(place: Place, served: Path, form: Form, newest_git: Git) -> None:
    to = served / "new.git"
    empty(newest_git, to)
    tip = newest_git.text("rev-parse", "main", cwd=form("lively")).encode()

    def generate(_have: object, _want: object, **_options: object) -> list[bytes]:
        return [b"PACK\0\0\0\2\0\0\0\1", b"no zlib stream at all" * 50]

    with pytest.raises((PushError, PeerError)):
        place.client().send_pack(place.locate(to), lambda _refs: {b"refs/heads/x": tip}, generate)
    assert refs(newest_git, to) == {}
    assert not [p for p in (to / "objects").rglob("*") if p.is_file()]


def test_pack_of_dulwich(place: Place, form: Form, served: Path, newest_git: Git) -> None:
    to = served / "new.git"
    empty(newest_git, to)
    with DulwichRepo(str(form("small"))) as mine:
        tip = mine.refs[b"refs/heads/main"]
        result = place.client().send_pack(
            place.locate(to), lambda _refs: {b"refs/heads/main": tip}, mine.generate_pack_data
        )
    assert result.ref_status == {b"refs/heads/main": None}
    assert object_ids(newest_git, to) == object_ids(newest_git, form("small"), "main")


def test_from_shallow(place: Place, form: Form, served: Path, newest_git: Git) -> None:
    """A shallow repository's own work goes to a server that has the rest."""
    to, mine = served / "whole.git", served / "mine.git"
    newest_git.run("clone", "-q", "--bare", f"file://{form('lively')}", to)
    (to / "git-daemon-export-ok").touch()
    newest_git.run("clone", "-q", "--bare", "--depth=2", f"file://{to}", mine)
    shape = HistoryShape(commits=3, files=2, tag_every=0)
    feed_history(newest_git, mine, 810, shape, "refs/heads/main")
    repository = Repo(mine)
    main = repository.refs[b"refs/heads/main"]
    result = place.client().send_pack(
        place.locate(to), lambda _refs: {b"refs/heads/main": main}, repository
    )
    assert result.ref_status == {b"refs/heads/main": None}
    assert_sound(newest_git, to)
