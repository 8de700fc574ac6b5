"""``git archive --remote`` against ``UploadArchiveHandler``: the bytes of git's own archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dulwich.repo import Repo as DulwichRepo
from gitserve.repo import Repo
from gitserve.server import DictBackend

from tests.support.gits import Git
from tests.support.repositories import small


@pytest.fixture
def odd(tmp_path: Path, newest_git: Git) -> Repo:
    """All kinds of tree entries, and paths too long for a tar header."""
    path = tmp_path / "odd.git"
    small(newest_git, path)
    work = tmp_path / "work"
    newest_git.run("clone", "--quiet", path, work)
    deep = work / ("d" * 60) / ("e" * 60) / ("f" * 60)
    deep.mkdir(parents=True)
    (deep / "short").write_text("deep\n")
    (deep / ("g" * 120)).write_text("deep and long\n")
    (work / "far").symlink_to("h" * 150)
    newest_git.run("add", "-A", cwd=work)
    newest_git.run("commit", "--quiet", "-m", "deep", cwd=work)
    newest_git.run("push", "--quiet", "origin", "main", cwd=work)
    return Repo(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["HEAD"],
        ["--format=tar", "main"],
        ["--prefix=project-1.0/", "main"],
        ["--prefix=pre", "refs/heads/main"],
        ["main", "bin", "README"],
        ["main", "--", "bin/run"],
    ],
    ids=" ".join,
)
def test_the_same_tar(
    arguments: list[str], odd: Repo, serve: Callable[..., str], newest_git: Git
) -> None:
    for repo in (odd, DulwichRepo(odd.path)):
        url = serve(DictBackend({"/": repo})) + "/"
        ours = newest_git.run("archive", f"--remote={url}", *arguments).stdout
        theirs = newest_git.run("archive", *arguments, cwd=Path(odd.path)).stdout
        assert ours == theirs


def test_compressed(odd: Repo, serve: Callable[..., str], newest_git: Git) -> None:
    import gzip

    url = serve(DictBackend({"/": odd})) + "/"
    plain = newest_git.run("archive", "main", cwd=Path(odd.path)).stdout
    for name in ("tgz", "tar.gz"):
        packed = newest_git.run("archive", f"--remote={url}", f"--format={name}", "main").stdout
        assert gzip.decompress(packed) == plain


def test_zip(odd: Repo, serve: Callable[..., str], newest_git: Git) -> None:
    url = serve(DictBackend({"/": odd})) + "/"
    ours = newest_git.run("archive", f"--remote={url}", "--format=zip", "-9", "main").stdout
    theirs = newest_git.run("archive", "--format=zip", "main", cwd=Path(odd.path)).stdout
    with (
        zipfile.ZipFile(io.BytesIO(ours)) as one,
        zipfile.ZipFile(io.BytesIO(theirs)) as other,
    ):
        assert one.testzip() is None
        assert one.namelist() == other.namelist()
        assert one.comment == other.comment
        for name in one.namelist():
            assert one.read(name) == other.read(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], b"no such ref: nowhere"),
        (["main:nowhere"], b"not a tree object"),
        (["main", "nowhere"], b"did not match any files"),
        (["--format=rar", "main"], b"Unknown archive format"),
    ],
)
def test_refusals(
    arguments: list[str], said: bytes, odd: Repo, serve: Callable[..., str], newest_git: Git
) -> None:
    url = serve(DictBackend({"/": odd})) + "/"
    done = newest_git.run("archive", f"--remote={url}", *arguments, check=False)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_hidden_ref_is_no_ref(odd: Repo, serve: Callable[..., str], newest_git: Git) -> None:
    newest_git.run("config", "transfer.hideRefs", "refs/heads/main", cwd=Path(odd.path))
    url = serve(DictBackend({"/": odd})) + "/"
    done = newest_git.run("archive", f"--remote={url}", "main", check=False)
    assert b"no such ref" in done.stderr


def test_an_id_is_no_ref(odd: Repo, serve: Callable[..., str], newest_git: Git) -> None:
    url = serve(DictBackend({"/": odd})) + "/"
    head = odd.head().decode()
    done = newest_git.run("archive", f"--remote={url}", head, check=False)
    assert b"no such ref" in done.stderr
