"""Other people's repositories through the one pipeline, with real git at the other end."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dulwich.object_format import SHA256
from dulwich.repo import MemoryRepo
from gitserve.server import DictBackend, UploadPackHandler

from tests.parity.talks import clone_bytes, talk
from tests.support.foreign import FOREIGN, DictRepo, memory_repo
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.repositories import LITTLE, feed_history, new_bare

Serve = Callable[..., str]
VERSIONS = pytest.mark.parametrize("version", [0, 1, 2])
FORMATS = pytest.mark.parametrize("object_format", ["sha1", "sha256"])
KINDS = pytest.mark.parametrize("kind", sorted(FOREIGN))


@pytest.fixture
def original(tmp_path: Path, newest_git: Git, object_format: str) -> Path:
    """What the foreign repositories are made from."""
    path = tmp_path / "original.git"
    new_bare(newest_git, path, f"--object-format={object_format}")
    feed_history(newest_git, path, 11, LITTLE)
    return path


@pytest.fixture
def object_format() -> str:
    return "sha1"


@pytest.fixture
def repo(kind: str, original: Path, newest_git: Git) -> Any:
    return FOREIGN[kind](newest_git, original)


@pytest.fixture
def url(repo: Any, serve: Serve) -> str:
    return serve(DictBackend({"/": repo})) + "/"


@pytest.fixture
def git(newest_git: Git, version: int) -> Callable[..., Any]:
    """git, speaking one version."""

    def run(*arguments: Any, **options: Any) -> Any:
        return newest_git.run("-c", f"protocol.version={version}", *arguments, **options)

    return run


@KINDS
@FORMATS
@VERSIONS
def test_clone_fetch_and_push(
    repo: Any, url: str, original: Path, git: Any, newest_git: Git, tmp_path: Path
) -> None:
    judge, clone, work = newest_git, tmp_path / "clone", tmp_path / "work"
    git("clone", "--quiet", "--mirror", url, clone)
    assert_sound(judge, clone)
    assert object_ids(judge, clone) == object_ids(judge, original)
    assert refs(judge, clone) == refs(judge, original)
    assert judge.text("symbolic-ref", "HEAD", cwd=clone) == "refs/heads/main"

    git("clone", "--quiet", url, work)
    readme = work / "new"
    readme.write_text("new\n")
    judge.run("add", "new", cwd=work)
    judge.run("commit", "--quiet", "-m", "new", cwd=work)
    judge.run("tag", "-a", "-m", "tagged", "tagged", cwd=work)
    push = ["push", "--quiet", "--atomic", "origin", "HEAD:main", "HEAD:refs/heads/b", "tagged"]
    if isinstance(repo, MemoryRepo) and repo.object_format is SHA256:
        # dulwich's store in memory takes packs by SHA-1 names only; no ref moves then
        before = repo.get_refs()
        assert git(*push, cwd=work, check=False).returncode != 0
        assert repo.get_refs() == before
        return
    git(*push, cwd=work)
    head = judge.text("rev-parse", "HEAD", cwd=work).encode()
    said = repo.get_refs()
    assert said[b"refs/heads/main"] == said[b"refs/heads/b"] == head

    git("fetch", "--quiet", cwd=clone)
    assert_sound(judge, clone)
    assert refs(judge, clone)["refs/heads/b"] == head.decode()
    assert judge.text("cat-file", "-t", "tagged", cwd=clone) == "tag"

    judge.run("commit", "--quiet", "--amend", "-m", "other", cwd=work)
    refused = git("push", "origin", "HEAD:refs/heads/b", cwd=work, check=False)
    assert refused.returncode != 0
    git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/b", ":main", cwd=work)
    said = repo.get_refs()
    assert said[b"refs/heads/b"] == judge.text("rev-parse", "HEAD", cwd=work).encode()
    assert b"refs/heads/main" not in said


@KINDS
@VERSIONS
def test_shallow_and_deeper(
    url: str, repo: Any, original: Path, git: Any, newest_git: Git, tmp_path: Path
) -> None:
    """Cut, deepened by number, by date and by name, made whole again; and pushed from."""
    judge, clone = newest_git, tmp_path / "clone"

    def expected(*options: str) -> list[str]:
        """What git itself makes of it."""
        other = tmp_path / "expected"
        shutil.rmtree(other, ignore_errors=True)
        judge.run("clone", "--quiet", "--bare", "--single-branch", *options, f"file://{original}",
                  other)  # fmt: skip
        return object_ids(judge, other, "main")

    git("clone", "--quiet", "--single-branch", "--depth=2", url, clone)
    assert_sound(judge, clone)
    assert object_ids(judge, clone, "main") == expected("--depth=2")
    git("fetch", "--quiet", "--depth=4", cwd=clone)
    assert object_ids(judge, clone, "main") == expected("--depth=4")
    git("fetch", "--quiet", "--deepen=2", cwd=clone)
    assert object_ids(judge, clone, "main") == expected("--depth=6")

    judge.run("commit", "--quiet", "--allow-empty", "-m", "new", cwd=clone)
    git("push", "--quiet", "origin", "HEAD:refs/heads/new", cwd=clone)
    new = judge.text("rev-parse", "HEAD", cwd=clone)
    assert repo.get_refs()[b"refs/heads/new"] == new.encode()

    date = judge.text("log", "-1", "--format=%ct", "main~12", cwd=original)
    git("fetch", "--quiet", f"--shallow-since={date}", cwd=clone)
    main = "origin/main"
    assert object_ids(judge, clone, main) == expected(f"--shallow-since={date}")
    assert_sound(judge, clone)
    git("fetch", "--quiet", "--unshallow", cwd=clone)
    assert judge.text("rev-parse", "--is-shallow-repository", cwd=clone) == "false"
    assert object_ids(judge, clone, main) == object_ids(judge, original, "main")
    assert_sound(judge, clone)


@KINDS
@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize(
    "spec", ["blob:none", "blob:limit=200", "tree:0", "tree:2", "object:type=commit"]
)
def test_filters(
    spec: str, version: int, url: str, original: Path, git: Any, newest_git: Git, tmp_path: Path
) -> None:
    """What arrives is what git's own server would have sent; and the rest can be had later."""
    judge, clone, other = newest_git, tmp_path / "clone", tmp_path / "other"
    git("clone", "--quiet", "--bare", f"--filter={spec}", url, clone)
    judge.run("config", "uploadpack.allowFilter", "true", cwd=original)
    options = ["--quiet", "--bare", f"--filter={spec}"]
    judge.run("clone", *options, f"file://{original}", other)
    assert here(judge, clone) == here(judge, other) != here(judge, original)
    judge.run("fsck", "--connectivity-only", cwd=clone)
    if version == 0:
        return  # an id that no ref names is not given in it, unless configured
    whole = judge.lines("ls-tree", "-r", "--name-only", "main", cwd=original)
    # what was left out is had when it is needed
    assert git("ls-tree", "-r", "--name-only", "main", cwd=clone).stdout.decode().split() == whole


def here(git: Git, path: Path) -> list[str]:
    return sorted(git.lines("cat-file", "--batch-all-objects", "--batch-check=%(objectname)",
                            "--unordered", cwd=path))  # fmt: skip


@pytest.mark.parametrize("kind", sorted(FOREIGN))
@FORMATS
def test_thin_packs(
    repo: Any, original: Path, newest_git: Git, tmp_path: Path, object_format: str
) -> None:
    """A small change of a large file: a delta against what the client has, if it takes that."""
    git, work = newest_git, tmp_path / "work"
    git.run("clone", "--quiet", original, work)
    for text in ("first", "second"):
        # no two lines alike, so that nothing but the other version helps
        lines = [f"{number * number}\n" for number in range(20_000)]
        (work / "large").write_text("".join([text, *lines]))
        git.run("add", "large", cwd=work)
        git.run("commit", "--quiet", "-m", text, cwd=work)
    git.run("push", "--quiet", "origin", "HEAD:refs/heads/large", cwd=work)
    old, new = (git.text("rev-parse", name, cwd=work).encode() for name in ("HEAD~", "HEAD"))
    repo = type_of(repo)(git, original)
    packs = {}
    for words in (b"ofs-delta", b"ofs-delta thin-pack"):
        words += b" object-format=" + object_format.encode()
        out = clone_bytes(repo, new, words, b"have %b" % old)
        packs[words] = out[out.index(b"PACK") :]
    whole, thin = packs.values()
    assert len(whole) > 50_000 > 2_000 > len(thin)
    for name, pack, more in (("whole", whole, []), ("thin", thin, ["--fix-thin"])):
        folder = tmp_path / name
        git.run("init", "--quiet", "--bare", f"--object-format={object_format}", folder)
        if more:
            git.run("fetch", "--quiet", original, old.decode(), cwd=folder)
        git.run("index-pack", "--stdin", *more, cwd=folder, stdin=pack)
        assert git.text("cat-file", "-t", new.decode(), cwd=folder) == "commit"


def type_of(repo: Any) -> Any:
    return type(repo) if isinstance(repo, DictRepo) else memory_repo


def listing(repo: Any) -> bytes:
    return talk(UploadPackHandler, repo, b"0000", stateless=False)


def test_what_refs_peel_to_is_asked_once(original: Path, newest_git: Git) -> None:
    """The second listing reads no object at all; one after a push, only what is new."""
    repo = DictRepo(newest_git, original)
    store = repo.object_store
    listed = listing(repo)
    assert store.reads >= len(set(repo.refs.held.values()))
    assert b"^{}" in listed
    store.reads = 0
    assert listing(repo) == listed
    assert store.reads == 0
    commit = newest_git.text("rev-parse", "main~3", cwd=original).encode()
    repo.refs.held[b"refs/heads/new"] = commit
    assert commit + b" refs/heads/new" in listing(repo)
    assert store.reads == 1
    del repo.refs.held[b"refs/heads/new"]
    assert listing(repo) == listed
    assert store.reads == 1


def test_a_ref_to_what_is_not_there_yet_is_asked_again(original: Path, newest_git: Git) -> None:
    repo = DictRepo(newest_git, original)
    (tag,) = [value for name, value in repo.refs.held.items() if name.startswith(b"refs/tags/")][:1]
    kept = repo.object_store.held.pop(tag)
    peeled = kept[1].split(b"\n")[0].split(b" ")[1] + b" "
    assert peeled + b"refs/tags" not in listing(repo)
    repo.object_store.held[tag] = kept
    assert peeled + b"refs/tags" in listing(repo)


@KINDS
def test_a_push_beyond_the_limit_is_refused(
    kind: str, original: Path, newest_git: Git, serve: Serve, tmp_path: Path
) -> None:
    """``receive.maxInputSize``, told to a store that takes ``max_input_size`` and kept for one that
    does not."""
    from dulwich.config import ConfigFile

    config = ConfigFile()
    config.set(b"receive", b"maxInputSize", b"1000")
    repo = FOREIGN[kind](newest_git, original)
    repo.get_config = lambda: config
    repo.get_config_stack = lambda: config
    url = serve(DictBackend({"/": repo})) + "/"
    git, work = newest_git, tmp_path / "work"
    git.run("clone", "--quiet", url, work)
    (work / "large").write_bytes(hashlib.shake_128(b"large").digest(100_000))
    git.run("add", "large", cwd=work)
    git.run("commit", "--quiet", "-m", "large", cwd=work)
    done = git.run("push", "origin", "HEAD:refs/heads/large", cwd=work, check=False)
    assert done.returncode != 0
    assert b"refs/heads/large" not in repo.get_refs()
    git.run("commit", "--quiet", "--allow-empty", "-m", "small", "--amend", cwd=work)
    git.run("rm", "--quiet", "large", cwd=work)
    git.run("commit", "--quiet", "--amend", "--allow-empty", "-m", "small", cwd=work)
    git.run("push", "--quiet", "origin", "HEAD:refs/heads/small", cwd=work)
    assert b"refs/heads/small" in repo.get_refs()


def test_a_history_of_its_own_shallow_end(
    original: Path, newest_git: Git, serve: Serve, tmp_path: Path
) -> None:
    """``get_shallow`` of a repository that lacks its past."""
    git, cut, clone = newest_git, tmp_path / "cut.git", tmp_path / "clone"
    git.run("clone", "--quiet", "--bare", "--depth=3", f"file://{original}", cut)
    repo = DictRepo(git, cut)
    boundary = {line.encode() for line in (cut / "shallow").read_text().split()}
    repo.get_shallow = lambda: boundary  # type: ignore[attr-defined]
    url = serve(DictBackend({"/": repo})) + "/"
    git.run("clone", "--quiet", url, clone)
    assert git.text("rev-parse", "--is-shallow-repository", cwd=clone) == "true"
    assert_sound(git, clone)


def test_many_rounds(original: Path, newest_git: Git, serve: Serve, tmp_path: Path) -> None:
    """A client with much of its own to tell: what is common is found, and no more is sent."""
    git, clone = newest_git, tmp_path / "clone"
    git.run("clone", "--quiet", original, clone)
    shape = HistoryShape(commits=200, files=3, lines=5, tag_every=0)
    feed_history(git, clone / ".git", 30, shape, "refs/remotes/origin/main")
    feed_history(
        git, original, 31, HistoryShape(commits=2, files=2, tag_every=0), "refs/heads/main"
    )
    repo = DictRepo(git, original)
    url = serve(DictBackend({"/": repo})) + "/"
    git.run("fetch", "--quiet", url, "main", cwd=clone)
    assert_sound(git, clone)
    assert repo.object_store.reads < len(repo.object_store.held) / 2
