"""``gitserve bundle``: a frozen pack, downloaded in parts, by git and by hand."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.answers import ask
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.server import Server, gitserve_programs, http_programs, running_server

pytestmark = pytest.mark.ours

GITSERVE = gitserve_programs().daemon[0]


@pytest.fixture
def http(base: Path, tmp_path: Path) -> Iterator[Server]:
    with running_server(http_programs(), base, tmp_path / "log", ["--export-all"]) as server:
        server.scheme = "http"
        yield server
        server.assert_unharmed()


def bundle(repository: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        [GITSERVE, "bundle", *words, str(repository)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def files(repository: Path) -> set[str]:
    with suppress(FileNotFoundError):
        return {path.name for path in (repository / "bundles").iterdir()}
    return set()


def commit(git: Git, repository: Path, message: str, branch: str = "main") -> str:
    tree = git.text("rev-parse", "main^{tree}", cwd=repository)
    made = git.text("commit-tree", "-m", message, "-p", "main", tree, cwd=repository)
    git.run("update-ref", f"refs/heads/{branch}", made, cwd=repository)
    return made


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_it_is_a_bundle(newest_git: Git, served: Path, tmp_path: Path, object_format: str) -> None:
    repository, git = served / "made.git", newest_git
    git.run("init", "-q", "--bare", f"--object-format={object_format}", repository)
    tree = git.text("mktree", cwd=repository)
    one = git.text("commit-tree", "-m", "one", tree, cwd=repository)
    git.run("update-ref", "refs/heads/main", one, cwd=repository)
    git.run("symbolic-ref", "HEAD", "refs/heads/main", cwd=repository)
    git.run("tag", "-a", "-m", "tag", "v1", "main", cwd=repository)
    bundle(repository)
    (name,) = files(repository)
    git.run("bundle", "verify", repository / "bundles" / name, cwd=repository)
    git.run("clone", "-q", "--mirror", repository / "bundles" / name, tmp_path / "clone")
    assert refs(git, tmp_path / "clone") == refs(git, repository)
    assert_sound(git, tmp_path / "clone")
    # nothing has moved
    assert "as it was" in bundle(repository)
    assert files(repository) == {name}


def test_older_ones_go(newest_git: Git, lively: Path) -> None:
    names: list[str] = []
    for number in range(4):
        commit(newest_git, lively, f"{number}")
        bundle(lively, "--keep=2", "-q")
        (new,) = files(lively) - set(names)
        names.append(new)
        os.utime(lively / "bundles" / new, (number, number))
    assert files(lively) == set(names[-2:])


def test_a_download_goes_on(newest_git: Git, http: Server, lively: Path) -> None:
    bundle(lively)
    (name,) = files(lively)
    content = (lively / "bundles" / name).read_bytes()
    url = f"{http.url(lively)}/bundles/{name}"
    first = ask(url, Range="bytes=0-999")
    assert (first.status, first.content) == (206, content[:1000])
    assert first.headers["Accept-Ranges"] == "bytes"
    tag = first.headers["ETag"]
    # a newer one has come meanwhile
    commit(newest_git, lively, "meanwhile")
    bundle(lively)
    rest = ask(url, Range="bytes=1000-", If_Range=tag)
    assert rest.status == 206
    assert rest.headers["Content-Range"] == f"bytes 1000-{len(content) - 1}/{len(content)}"
    assert content[:1000] + rest.content == content
    assert ask(url, Range="bytes=1000-", If_Range='"another"').content == content
    refused = ask(url, Range=f"bytes={len(content)}-")
    assert refused.status == 416
    assert refused.headers["Content-Range"] == f"bytes */{len(content)}"
    assert ask(url).content == content


def test_packs_in_parts_too(newest_git: Git, http: Server, lively: Path) -> None:
    newest_git.run("repack", "-adq", cwd=lively)
    (pack,) = (lively / "objects/pack").glob("*.pack")
    url = f"{http.url(lively)}/objects/pack/{pack.name}"
    assert ask(url, Range="bytes=-20").content == pack.read_bytes()[-20:]


def test_git_is_told_where_it_is(
    newest_git: Git, http: Server, lively: Path, tmp_path: Path
) -> None:
    git = newest_git
    git.run("config", "uploadpack.advertiseBundleURIs", "true", cwd=lively)
    bundle(lively)
    commit(git, lively, "after it")
    done = git.run(
        "-c", "transfer.bundleURI=true", "clone", "-q", "--bare", http.url(lively),
        tmp_path / "told",
    )  # fmt: skip
    assert b"warning" not in done.stderr
    assert_sound(git, tmp_path / "told")
    assert "/bundles/" in http.new_log()
    assert refs(git, tmp_path / "told").items() >= refs(git, lively).items()
    # or by whoever knows the address of the list
    git.run(
        "clone", "-q", "--bare", f"--bundle-uri={http.url(lively)}/bundles/list",
        http.url(lively), tmp_path / "listed",
    )  # fmt: skip
    assert http.new_log().count("/bundles/") == 2
    assert set(object_ids(git, tmp_path / "listed")) >= set(refs(git, lively).values())


def test_nobody_is_told_where_nothing_is_given(
    newest_git: Git, base: Path, lively: Path, tmp_path: Path
) -> None:
    """git:// gives no files."""
    newest_git.run("config", "uploadpack.advertiseBundleURIs", "true", cwd=lively)
    bundle(lively)
    programs = gitserve_programs()
    with running_server(programs, base, tmp_path / "log", ["--export-all"]) as server:
        done = newest_git.run(
            "-c", "transfer.bundleURI=true", "clone", "--bare", server.url(lively),
            tmp_path / "clone", env={"GIT_TRACE_PACKET": "1"},
        )  # fmt: skip
    assert b"command=bundle-uri" in done.stderr
    assert b"bundle.version" not in done.stderr


def test_hidden_refs_are_not_in_it(newest_git: Git, http: Server, lively: Path) -> None:
    secret = commit(newest_git, lively, "secret", "secret")
    bundle(lively)
    (shown,) = files(lively)
    newest_git.run("config", "transfer.hideRefs", "refs/heads/secret", cwd=lively)
    # the old one has it
    assert ask(f"{http.url(lively)}/bundles/{shown}").status == 404
    assert ask(f"{http.url(lively)}/bundles/list").status == 404
    bundle(lively, "--keep=1")
    (name,) = files(lively)
    assert name != shown
    content = ask(f"{http.url(lively)}/bundles/{name}").content
    assert secret.encode() not in content
    heads = newest_git.run("bundle", "list-heads", lively / "bundles" / name, cwd=lively)
    assert b"secret" not in heads.stdout


@pytest.mark.parametrize("path", ["../config", "..%2fconfig", "list/../../config", "0" * 64, "x"])
def test_nothing_else_in_the_folder(http: Server, lively: Path, path: str) -> None:
    bundle(lively)
    (lively / "bundles/x").write_text("not for you")
    assert ask(f"{http.url(lively)}/bundles/{path}").status == 404


def test_fetching_off_is_bundles_off(newest_git: Git, http: Server, lively: Path) -> None:
    bundle(lively)
    newest_git.run("config", "http.uploadpack", "false", cwd=lively)
    assert ask(f"{http.url(lively)}/bundles/list").status == 403


def test_what_cannot_be_bundled(newest_git: Git, served: Path, lively: Path) -> None:
    newest_git.run("init", "-q", "--bare", served / "empty.git")
    assert "no refs" in bundle(served / "empty.git", status=1)
    newest_git.run("clone", "-q", "--bare", "--depth=1", f"file://{lively}", served / "cut.git")
    assert "shallow" in bundle(served / "cut.git", status=1)
    assert not files(served / "empty.git") | files(served / "cut.git")
