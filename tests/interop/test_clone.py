"""Clones: what the client has afterwards is what the repository holds, no more and no less."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.gits import assert_sound, object_ids, refs
from tests.support.repositories import FORMS, empty

Form = Callable[[str], Path]


def shallow_commits(repository: Path) -> list[str]:
    path = repository / (".git/shallow" if (repository / ".git").exists() else "shallow")
    return sorted(path.read_text().split()) if path.exists() else []


@pytest.mark.parametrize("name", [name for name in FORMS if name != "shallow"])
@pytest.mark.parametrize("road", ["daemon"])
def test_mirror_of_every_form(client: Client, form: Form, tmp_path: Path, name: str) -> None:
    repository, clone = form(name), tmp_path / "clone"
    client.clone(repository, clone, "--mirror")
    assert_sound(client.git, clone)
    assert refs(client.git, clone) == refs(client.git, repository)
    assert object_ids(client.git, clone) == object_ids(client.git, repository)


def test_clone(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("small"), tmp_path / "clone"
    client.clone(repository, clone)
    assert_sound(client.git, clone)
    assert client.git.text("status", "--porcelain", cwd=clone) == ""
    want = object_ids(client.git, repository, "--branches", "--tags")
    assert object_ids(client.git, clone) == want


def test_bare_clone(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("lively"), tmp_path / "clone.git"
    client.clone(repository, clone, "--bare")
    assert_sound(client.git, clone)
    assert refs(client.git, clone) == refs(client.git, repository, "refs/heads", "refs/tags")
    assert object_ids(client.git, clone) == object_ids(client.git, repository)


def test_single_branch(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("lively"), tmp_path / "clone"
    client.clone(repository, clone, "--single-branch", "--branch=topic", "--no-tags")
    assert_sound(client.git, clone)
    assert set(refs(client.git, clone)) == {"refs/heads/topic", "refs/remotes/origin/topic"}
    assert object_ids(client.git, clone) == object_ids(client.git, repository, "topic")


def test_tags_follow_the_branch(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("lively"), tmp_path / "clone"
    client.clone(repository, clone, "--single-branch")
    tags = refs(client.git, clone, "refs/tags")
    assert tags, "include-tag brings the tags of what is sent"
    assert tags == refs(client.git, repository, "refs/tags")


@pytest.mark.parametrize("depth", [1, 3])
def test_depth(client: Client, form: Form, tmp_path: Path, depth: int) -> None:
    repository, clone, judge = form("lively"), tmp_path / "clone", tmp_path / "judge"
    client.clone(repository, clone, f"--depth={depth}", "--no-single-branch")
    client.git.run(
        "clone", "-q", f"--depth={depth}", "--no-single-branch", f"file://{repository}", judge
    )
    assert_sound(client.git, clone)
    assert refs(client.git, clone) == refs(client.git, judge)
    assert shallow_commits(clone) == shallow_commits(judge)
    assert object_ids(client.git, clone) == object_ids(client.git, judge)
    stored = len(client.git.lines("cat-file", "--batch-all-objects", "--batch-check", cwd=clone))
    assert stored == len(object_ids(client.git, clone)), "nothing behind the boundary was sent"


def test_empty_repository(client: Client, served: Path, tmp_path: Path) -> None:
    repository, clone = served / "empty.git", tmp_path / "clone"
    empty(client.git, repository)
    client.clone(repository, clone)
    assert refs(client.git, clone) == {}
    assert client.git.text("symbolic-ref", "HEAD", cwd=clone) == "refs/heads/main"


def test_empty_repository_in_sha256(client: Client, served: Path, tmp_path: Path) -> None:
    repository, clone = served / "empty.git", tmp_path / "clone"
    client.git.run("init", "-q", "--bare", "--object-format=sha256", repository)
    client.clone(repository, clone)
    assert refs(client.git, clone) == {}
    # Not every git makes an empty clone in the right format: it must do what it does with itself.
    judge = tmp_path / "judge"
    client.run("clone", "-q", f"file://{repository}", judge)
    show = ("rev-parse", "--show-object-format")
    assert client.git.text(*show, cwd=clone) == client.git.text(*show, cwd=judge)


def test_unborn_branch_has_its_name(client: Client, served: Path, tmp_path: Path) -> None:
    repository, clone = served / "empty.git", tmp_path / "clone"
    empty(client.git, repository)
    client.git.run("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=repository)
    client.clone(repository, clone)
    known = client.protocol == 2  # before, an empty repository had no way to say it
    head = client.git.text("symbolic-ref", "HEAD", cwd=clone)
    assert head == ("refs/heads/trunk" if known else "refs/heads/main")


def test_detached_head(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("detached"), tmp_path / "clone"
    client.clone(repository, clone)
    assert_sound(client.git, clone)
    head = client.git.text("rev-parse", "HEAD", cwd=clone)
    assert head == client.git.text("rev-parse", "HEAD", cwd=repository)
    assert client.git.run("symbolic-ref", "-q", "HEAD", cwd=clone, check=False).returncode == 1


def test_unborn_head_beside_branches(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("unborn"), tmp_path / "clone"
    client.clone(repository, clone)
    assert_sound(client.git, clone)
    assert object_ids(client.git, clone) == object_ids(client.git, repository)


def test_from_a_shallow_repository(client: Client, form: Form, tmp_path: Path) -> None:
    repository, clone = form("shallow"), tmp_path / "clone"
    client.clone(repository, clone)
    assert_sound(client.git, clone)
    assert shallow_commits(clone) == shallow_commits(repository)
    want = object_ids(client.git, repository, "--branches", "--tags")
    assert object_ids(client.git, clone) == want


def test_ls_remote(client: Client, form: Form) -> None:
    repository = form("small")
    want = {f"{value}\t{name}" for name, value in refs(client.git, repository).items()}
    want.add(client.git.text("rev-parse", "HEAD", cwd=repository) + "\tHEAD")
    peel = "--format=%(*objectname)\t%(refname)^{}"
    peeled = client.git.lines("for-each-ref", peel, "refs/tags", cwd=repository)
    direct = {line for line in peeled if not line.startswith("\t")}
    # `%(*objectname)` peels one layer before git 2.45, all of them after.
    deepest = client.git.text("rev-parse", "of-a-tag^{}", cwd=repository)
    direct = {line for line in direct if "of-a-tag" not in line}
    direct.add(f"{deepest}\trefs/tags/of-a-tag^{{}}")
    assert set(client.ls_remote(repository)) == want | direct


def test_ls_remote_with_patterns(client: Client, form: Form) -> None:
    repository = form("many_refs")
    listed = client.ls_remote(repository, "refs/heads/group1/*")
    want = refs(client.git, repository, "refs/heads/group1/*")
    assert {line.split("\t")[1]: line.split("\t")[0] for line in listed} == want


def test_ls_remote_names_the_symbolic_head(client: Client, form: Form) -> None:
    first = client.ls_remote(form("lively"), "HEAD", options=["--symref"])[0]
    assert first == "ref: refs/heads/main\tHEAD"


@pytest.mark.parametrize("protocol", [2])
def test_blob_over_100_megabytes(client: Client, large: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone.git"
    client.clone(large, clone, "--bare")
    assert object_ids(client.git, clone) == object_ids(client.git, large)
    assert_sound(client.git, clone)
