"""Pushes: what was accepted is there and sound, what was not left no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.gits import assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.repositories import empty, feed_history

Form = Callable[[str], Path]

LITTLE_MORE = HistoryShape(commits=6, files=3, lines=20, tag_every=0)


@pytest.fixture
def clone(client: Client, lively: Path, tmp_path: Path) -> Path:
    """A clone with a few commits of its own on ``main``."""
    path = tmp_path / "clone"
    client.clone(lively, path)
    onto = client.git.text("rev-parse", "main", cwd=path)
    feed_history(client.git, path, 200, LITTLE_MORE, onto)
    return path


def quarantines(repository: Path) -> list[Path]:
    objects = repository / "objects"
    return [*objects.glob("incoming-*"), *objects.glob("tmp_objdir*")]


def test_fast_forward(client: Client, lively: Path, clone: Path) -> None:
    client.push(clone, "main")
    assert_sound(client.git, lively)
    assert refs(client.git, lively)["refs/heads/main"] == client.git.text(
        "rev-parse", "main", cwd=clone
    )
    assert object_ids(client.git, lively, "main") == object_ids(client.git, clone, "main")
    assert not quarantines(lively)


def test_nothing_to_push(client: Client, lively: Path, clone: Path) -> None:
    before = refs(client.git, lively)
    done = client.push(clone, "refs/remotes/origin/main:refs/heads/main")
    assert b"up to date" in done.stdout + done.stderr
    assert refs(client.git, lively) == before


def test_new_branch_and_tags(client: Client, lively: Path, clone: Path) -> None:
    client.git.run("tag", "-a", "-m", "a tag", "pushed", "main", cwd=clone)
    client.push(clone, "main:refs/heads/new/branch", "pushed", "main~2:refs/tags/light")
    assert_sound(client.git, lively)
    now = refs(client.git, lively)
    assert now["refs/heads/new/branch"] == client.git.text("rev-parse", "main", cwd=clone)
    assert now["refs/tags/pushed"] == client.git.text("rev-parse", "pushed", cwd=clone)
    assert now["refs/tags/light"] == client.git.text("rev-parse", "main~2", cwd=clone)


def test_ref_to_what_is_there_already(client: Client, lively: Path, clone: Path) -> None:
    client.push(clone, "origin/main~5:refs/heads/older")
    assert_sound(client.git, lively)
    want = client.git.text("rev-parse", "origin/main~5", cwd=clone)
    assert refs(client.git, lively)["refs/heads/older"] == want


def test_client_refuses_non_fast_forward(client: Client, lively: Path, clone: Path) -> None:
    feed_history(client.git, lively, 201, LITTLE_MORE, "refs/heads/main")
    before = refs(client.git, lively)
    done = client.push(clone, "main", check=False)
    assert done.returncode == 1
    assert b"[rejected]" in done.stdout
    assert refs(client.git, lively) == before


def test_forced(client: Client, lively: Path, clone: Path) -> None:
    feed_history(client.git, lively, 202, LITTLE_MORE, "refs/heads/main")
    client.push(clone, "+main")
    assert_sound(client.git, lively)
    assert object_ids(client.git, lively, "main") == object_ids(client.git, clone, "main")


def test_force_with_lease(client: Client, lively: Path, clone: Path) -> None:
    client.push(clone, "--force-with-lease", "+main~3:main")
    want = client.git.text("rev-parse", "main~3", cwd=clone)
    assert refs(client.git, lively)["refs/heads/main"] == want


def test_deny_non_fast_forwards(client: Client, lively: Path, clone: Path) -> None:
    client.git.run("config", "receive.denyNonFastForwards", "true", cwd=lively)
    before = refs(client.git, lively)
    done = client.push(clone, "+main~20:main", "main:refs/heads/beside", check=False)
    assert done.returncode == 1
    assert b"non-fast-forward" in done.stdout
    now = refs(client.git, lively)
    assert now["refs/heads/main"] == before["refs/heads/main"]
    assert now["refs/heads/beside"] == client.git.text("rev-parse", "main", cwd=clone)


def test_deletion(client: Client, lively: Path, clone: Path) -> None:
    tag = min(refs(client.git, lively, "refs/tags"))
    client.push(clone, ":refs/heads/topic", f":{tag}")
    now = refs(client.git, lively)
    assert "refs/heads/topic" not in now
    assert tag not in now
    assert_sound(client.git, lively)


def test_deny_deletes(client: Client, lively: Path, clone: Path) -> None:
    client.git.run("config", "receive.denyDeletes", "true", cwd=lively)
    before = refs(client.git, lively)
    done = client.push(clone, ":refs/heads/topic", check=False)
    assert done.returncode == 1
    assert b"deletion prohibited" in done.stdout
    assert refs(client.git, lively) == before


def test_deleting_what_is_not_there(client: Client, lively: Path, clone: Path) -> None:
    before = refs(client.git, lively)
    client.push(clone, ":refs/heads/never-was", check=False)
    assert refs(client.git, lively) == before


def test_atomic_is_all_or_nothing(client: Client, lively: Path, clone: Path) -> None:
    client.git.run("config", "receive.denyDeletes", "true", cwd=lively)
    before = refs(client.git, lively)
    done = client.push(clone, "--atomic", "main", ":refs/heads/topic", check=False)
    assert done.returncode == 1
    assert refs(client.git, lively) == before


def test_directory_and_file_conflict(client: Client, lively: Path, clone: Path) -> None:
    before = refs(client.git, lively)
    done = client.push(clone, "main:refs/heads/main/below", check=False)
    assert done.returncode == 1
    assert b"[remote rejected]" in done.stdout
    assert b"cannot lock ref 'refs/heads/main/below': " in done.stderr
    assert refs(client.git, lively) == before
    assert_sound(client.git, lively)


def test_checked_out_branch(client: Client, form: Form, served: Path, tmp_path: Path) -> None:
    repository, clone = served / "work", tmp_path / "clone"
    client.git.run("clone", "-q", f"file://{form('non_bare')}", repository)
    client.clone(repository, clone)
    client.git.run("commit", "-q", "--allow-empty", "-m", "new", cwd=clone)
    done = client.push(clone, "main", check=False)
    assert done.returncode == 1
    assert b"branch is currently checked out" in done.stdout
    client.push(clone, "main:refs/heads/other")
    assert "refs/heads/other" in refs(client.git, repository)


def test_hooks_decide_and_speak(client: Client, lively: Path, clone: Path) -> None:
    hooks = lively / "hooks"
    hooks.mkdir(exist_ok=True)
    seen = lively / "seen"
    scripts = {
        "pre-receive": f"echo before; cat >>{seen}",
        "update": 'echo "asked about $1"; test "$1" != refs/heads/forbidden',
        "post-receive": f"echo after >&2; cat >>{seen}",
    }
    for name, script in scripts.items():
        (hooks / name).write_text(f"#!/bin/sh\n{script}\n")
        (hooks / name).chmod(0o755)
    done = client.push(clone, "main", "main:refs/heads/forbidden", check=False)
    assert done.returncode == 1
    for words in (b"remote: before", b"remote: asked about refs/heads/main", b"remote: after"):
        assert words in done.stderr
    assert b"hook declined" in done.stdout
    now = refs(client.git, lively)
    assert "refs/heads/forbidden" not in now
    assert now["refs/heads/main"] == client.git.text("rev-parse", "main", cwd=clone)
    told = seen.read_text().splitlines()
    assert len(told) == 3, "pre-receive hears of both, post-receive of the one that was done"


def test_declined_push_leaves_no_objects(client: Client, lively: Path, clone: Path) -> None:
    hooks = lively / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-receive").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-receive").chmod(0o755)
    before = object_count(client, lively)
    done = client.push(clone, "main", check=False)
    assert done.returncode == 1
    assert b"pre-receive hook declined" in done.stdout
    assert object_count(client, lively) == before
    assert not quarantines(lively)


def object_count(client: Client, repository: Path) -> int:
    listing = ("cat-file", "--batch-all-objects", "--batch-check")
    return len(client.git.lines(*listing, cwd=repository))


def test_into_an_empty_repository(client: Client, form: Form, served: Path, tmp_path: Path) -> None:
    repository, mine = served / "new.git", tmp_path / "mine.git"
    empty(client.git, repository)
    client.git.run("clone", "-q", "--mirror", f"file://{form('small')}", mine)
    client.git.run("remote", "remove", "origin", cwd=mine)
    client.connect(mine, repository)
    parts = ("refs/heads", "refs/tags", "refs/notes")
    client.push(mine, *(f"{part}/*:{part}/*" for part in parts))
    assert_sound(client.git, repository)
    assert refs(client.git, repository) == refs(client.git, mine, *parts)
    assert object_ids(client.git, repository) == object_ids(client.git, mine)


def test_into_an_empty_repository_in_sha256(
    client: Client, form: Form, served: Path, tmp_path: Path
) -> None:
    repository, mine = served / "new.git", tmp_path / "mine.git"
    client.git.run("init", "-q", "--bare", "--object-format=sha256", repository)
    client.git.run("clone", "-q", "--bare", f"file://{form('sha256')}", mine)
    client.git.run("remote", "remove", "origin", cwd=mine)
    client.connect(mine, repository)
    client.push(mine, "refs/*:refs/*")
    assert_sound(client.git, repository)
    assert object_ids(client.git, repository) == object_ids(client.git, mine)


def test_a_thousand_refs_at_once(client: Client, lively: Path, clone: Path) -> None:
    commits = client.git.lines("rev-list", "main", cwd=clone)
    lines = [
        f"create refs/heads/mass/{number:04} {commits[number % len(commits)]}\n"
        for number in range(1000)
    ]
    client.git.run("update-ref", "--stdin", cwd=clone, stdin="".join(lines).encode())
    client.push(clone, "refs/heads/mass/*:refs/heads/mass/*")
    assert refs(client.git, lively, "refs/heads/mass") == refs(client.git, clone, "refs/heads/mass")
    assert_sound(client.git, lively)
    client.push(clone, *(f":refs/heads/mass/{number:04}" for number in range(0, 1000, 2)))
    assert len(refs(client.git, lively, "refs/heads/mass")) == 500


@pytest.mark.parametrize("protocol", [2])
def test_a_large_history(client: Client, served: Path, tmp_path: Path) -> None:
    repository, mine = served / "large.git", tmp_path / "mine.git"
    empty(client.git, repository)
    client.git.run("init", "-q", "--bare", mine)
    feed_history(client.git, mine, 203, HistoryShape(commits=3000, files=400, lines=80))
    client.connect(mine, repository)
    client.push(mine, "refs/*:refs/*")
    assert_sound(client.git, repository)
    assert object_ids(client.git, repository) == object_ids(client.git, mine)


@pytest.mark.parametrize("protocol", [2])
def test_blob_over_100_megabytes(client: Client, large: Path, served: Path, tmp_path: Path) -> None:
    repository, mine = served / "large.git", tmp_path / "mine.git"
    empty(client.git, repository)
    client.git.run("init", "-q", "--bare", mine)
    (mine / "objects/info/alternates").write_text(f"{large / 'objects'}\n")
    client.git.run(
        "update-ref", "refs/heads/main", client.git.text("rev-parse", "main", cwd=large), cwd=mine
    )
    client.connect(mine, repository)
    client.push(mine, "main")
    assert object_ids(client.git, repository) == object_ids(client.git, large)
    assert_sound(client.git, repository)


def test_from_a_shallow_clone(client: Client, lively: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    client.clone(lively, clone, "--depth=2")
    client.git.run("commit", "-q", "--allow-empty", "-m", "on top", cwd=clone)
    client.push(clone, "main")
    assert_sound(client.git, lively)
    want = client.git.text("rev-parse", "main", cwd=clone)
    assert refs(client.git, lively)["refs/heads/main"] == want
    assert not (lively / "shallow").exists()


def test_borrowed_objects_are_enough(
    client: Client, form: Form, served: Path, tmp_path: Path
) -> None:
    """A push onto a repository whose objects are in its alternates."""
    repository, clone = served / "borrowing.git", tmp_path / "clone"
    client.git.run("clone", "-q", "--bare", "--shared", form("lively"), repository)
    client.clone(repository, clone)
    onto = client.git.text("rev-parse", "main", cwd=clone)
    feed_history(client.git, clone, 204, LITTLE_MORE, onto)
    client.push(clone, "main")
    assert_sound(client.git, repository)
    assert object_ids(client.git, repository, "main") == object_ids(client.git, clone, "main")


def test_reflog_where_the_repository_keeps_one(client: Client, lively: Path, clone: Path) -> None:
    client.git.run("config", "core.logAllRefUpdates", "true", cwd=lively)
    client.push(clone, "main")
    entry = client.git.lines("reflog", "show", "--format=%H %gs", "main", cwd=lively)[0]
    assert entry == client.git.text("rev-parse", "main", cwd=clone) + " push"
