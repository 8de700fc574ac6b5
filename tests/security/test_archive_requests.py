"""``git archive --remote``: its options are a client's, its files would be the server's."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.security.conversing import Site
from tests.support.gits import Git
from tests.support.raw import FLUSH, greeting, pkt

pytestmark = pytest.mark.ours


def asked(site: Site, *arguments: bytes, repository: bytes = b"/small.git") -> bytes:
    lines = b"".join(pkt(b"argument " + argument + b"\n") for argument in arguments)
    return site.git(greeting(b"git-upload-archive", repository), lines, FLUSH)


@pytest.mark.parametrize(
    "words",
    [
        [b"--output=pwned.tar", b"main"],
        [b"--output", b"pwned.tar", b"main"],
        [b"-o", b"pwned.tar", b"main"],
        [b"-opwned.tar", b"main"],
        [b"--add-file=/etc/passwd", b"main"],
        [b"--add-file", b"/etc/passwd", b"main"],
        [b"--add-virtual-file=x:root", b"main"],
        [b"--remote=/etc", b"main"],
        [b"--exec=touch pwned", b"main"],
        [b"--git-dir=/etc", b"main"],
        [b"-c", b"tar.x.command=touch pwned", b"main"],
        [b"--format=x", b"main"],
        [b"--format=tar.gz;touch pwned", b"main"],
        [b"--format=../../x", b"main"],
        [b"-1;touch pwned", b"main"],
        [b"--mtime=now", b"main"],
        [b"--mtime=" + b"9" * 5000, b"main"],
    ],
    ids=lambda words: words[0][:30].decode(),
)
def test_what_would_touch_the_server(
    site: Site, words: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    answer = asked(site, *words)
    assert b"fatal: " in answer
    assert b"ustar" not in answer
    assert b"root:" not in answer
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("word", [b"HEAD", b"main", b"--worktree-attributes"])
def test_what_is_asked_for_properly(site: Site, word: bytes) -> None:
    """So that refusing everything would be noticed."""
    assert b"ustar" in asked(site, word, *([b"main"] if word.startswith(b"-") else []))


@pytest.mark.parametrize(
    "path", [b"..", b"../outside.git", b"/etc", b"README/../..", b":(icase)/etc"]
)
def test_paths_are_the_trees(site: Site, path: bytes) -> None:
    answer = asked(site, b"main", path)
    assert b"is outside repository" in answer
    assert b"ustar" not in answer


@pytest.mark.parametrize("path", [b"*", b":/", b".", b":(glob)**"])
def test_patterns_find_what_is_in_the_tree(site: Site, path: bytes) -> None:
    assert asked(site, b"main", path) == asked(site, b"main")


@pytest.mark.parametrize("path", [b":/..", b":(top)/etc", b"*/../..*", b"[.][.]"])
def test_patterns_find_nothing_elsewhere(site: Site, path: bytes) -> None:
    answer = asked(site, b"main", path)
    assert b"did not match any files" in answer or b"is outside repository" in answer


def test_too_many_words(site: Site) -> None:
    answer = asked(site, *[b"-v"] * 70, b"main")
    assert b"NACK" in answer
    answer = asked(site, *[b"x" * 60_000] * 40)
    assert b"NACK" in answer


def test_a_link_stays_a_link(site: Site, newest_git: Git, tmp_path: Path) -> None:
    """What it names on the server is not what is in the archive."""
    work = tmp_path / "work"
    newest_git.run("clone", "-q", f"file://{site.folder / 'small.git'}", work)
    (work / "passwd").symlink_to("/etc/passwd")
    newest_git.run("add", "passwd", cwd=work)
    newest_git.run("commit", "-qm", "a link", cwd=work)
    newest_git.run("push", "-q", "origin", "HEAD:refs/heads/linked", cwd=work)
    answer = asked(site, b"linked", b"passwd")
    data = b""
    while answer:
        size = max(4, int(answer[:4], 16))
        data += answer[5:size] if answer[4:5] == b"\1" else b""
        answer = answer[size:]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.getmember("passwd")
    assert (member.issym(), member.linkname, member.size) == (True, "/etc/passwd", 0)
