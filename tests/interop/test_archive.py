"""``git archive --remote`` gets from gitserve the bytes that ``git archive`` makes in place."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import (
    Programs,
    Server,
    gitserve_programs,
    http_programs,
    running_server,
)

ARGUMENTS = [
    ["main"],
    ["--format=tar", "--prefix=p-1.0/", "main"],
    ["--format=tar.gz", "main"],
    ["--format=tgz", "-9", "main"],
    ["--format=zip", "main"],
    ["--format=zip", "-0", "main"],
    ["--format=zip", "-9", "--prefix=odd", "main"],
    ["main", "docs", "run"],
    ["v1"],
    ["--format=zip", "v1"],
]


@pytest.fixture
def tree(newest_git: Git, served: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of everything that archives treat apart."""
    monkeypatch.setenv("TZ", "UTC")
    repository, work = served / "tree.git", served / "work"
    newest_git.run("init", "-q", "--bare", "-b", "main", repository)
    newest_git.run("clone", "-q", repository, work)
    files = {
        "plain": b"text\n" * 200,
        "empty": b"",
        "binary": bytes(range(256)) * 40,
        "random": os.urandom(3000),
        "docs/a.txt": b"a\n",
        "docs/deep/b.txt": b"b\n",
        "docs/tests/left out": b"x\n",
        "tests/also": b"x\n",
        "only/ignored.o": b"x\n",
        ".gitattributes": b"*.o export-ignore\n/tests export-ignore\ndocs/tests export-ignore\n",
        "docs/.gitattributes": b"deep/keep.o -export-ignore\n.gitattributes export-ignore\n",
        "docs/deep/keep.o": b"kept\n",
        "ä/ö": b"utf-8\n",
        "/".join(["long" * 10] * 4) + "/name": b"long\n",
        "x" * 120: b"long name\n",
    }
    for name, content in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (work / "run").write_text("#!/bin/sh\n")
    (work / "run").chmod(0o755)
    (work / "link").symlink_to("docs/a.txt")
    (work / "long link").symlink_to("y" * 150)
    newest_git.run("add", ".", cwd=work)
    link = newest_git.text("hash-object", "-t", "tree", "/dev/null", cwd=work)
    newest_git.run("update-index", "--add", "--cacheinfo", f"160000,{link},sub", cwd=work)
    newest_git.run("commit", "-q", "-m", "all", cwd=work)
    newest_git.run("tag", "-a", "-m", "one", "v1", cwd=work)
    newest_git.run("push", "-q", "origin", "main", "v1", cwd=work)
    newest_git.run("config", "daemon.uploadarchive", "true", cwd=repository)
    return repository


def remote(programs: Programs, git: Git, repository: Path, *arguments: str) -> tuple[bytes, bytes]:
    command = programs.upload_pack.replace("upload-pack", "upload-archive")
    done = git.run(
        "archive", f"--remote={repository}", f"--exec={command}", *arguments, check=False
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_the_same_bytes(git: Git, programs: Programs, tree: Path, arguments: list[str]) -> None:
    ours, said = remote(programs, git, tree, *arguments)
    assert ours == git.run("archive", *arguments, cwd=tree).stdout, said


def test_over_the_daemon(newest_git: Git, server: Server, tree: Path) -> None:
    ours = newest_git.run("archive", f"--remote={server.url(tree)}", "main").stdout
    assert ours == newest_git.run("archive", "main", cwd=tree).stdout
    newest_git.run("config", "daemon.uploadarchive", "false", cwd=tree)
    done = newest_git.run("archive", f"--remote={server.url(tree)}", "main", check=False)
    assert done.returncode != 0


def test_a_filter_speaks_and_streams(newest_git: Git, programs: Programs, tree: Path) -> None:
    """What it says goes to the person, not into the archive; it need not read all of it."""
    newest_git.run("config", "tar.loud.remote", "true", cwd=tree)
    for command in ("echo heard >&2; cat", "echo heard >&2; head -c 5", "echo heard >&2; xz -0"):
        newest_git.run("config", "tar.loud.command", command, cwd=tree)
        ours, said = remote(programs, newest_git, tree, "--format=loud", "main")
        git = newest_git.run("archive", "--format=loud", "main", cwd=tree, check=False).stdout
        assert (ours, b"heard" in said) == (git, True)
    newest_git.run("config", "tar.loud.command", "cat >/dev/null; exit 3", cwd=tree)
    said = remote(programs, newest_git, tree, "--format=loud", "main")[1]
    assert b"'cat >/dev/null; exit 3' filter reported error" in said


def test_configured(newest_git: Git, programs: Programs, tree: Path) -> None:
    newest_git.run("config", "tar.umask", "077", cwd=tree)
    newest_git.run("config", "tar.upper.command", "echo slow >&2; tr a-z A-Z", cwd=tree)
    ours, said = remote(programs, newest_git, tree, "main")
    assert ours == newest_git.run("archive", "main", cwd=tree).stdout, said
    assert (
        b"Unknown archive format" in remote(programs, newest_git, tree, "--format=upper", "main")[1]
    )
    newest_git.run("config", "tar.upper.remote", "true", cwd=tree)
    assert b"upper" in remote(programs, newest_git, tree, "--list")[0].splitlines()
    ours, said = remote(programs, newest_git, tree, "--format=upper", "main")
    assert ours == newest_git.run("archive", "--format=upper", "main", cwd=tree).stdout, said
    assert said.split() == [b"remote:", b"slow"]


PATHSPECS = """
*.txt | docs/*.txt | *a* | d*s | docs/ | plain/ | sub | sub/ | :(glob)*/a.txt | :(glob)**/b.txt
:(glob)docs/** | :(icase)DOCS/A.* | :(literal)*.txt | :(exclude)docs | :!*.txt docs
:^docs/deep docs | :/docs | ./docs/../docs | . | [d]ocs/[ab].txt | docs/a.txt docs/nothing
docs/tests | *ignored* | :(bogus)docs | :(glob,literal)x | ../docs | /docs | :@x | docs/[ | ä/*
only | */deep | docs\\/a.txt | :(
"""


def test_pathspecs(newest_git: Git, programs: Programs, tree: Path) -> None:
    for words in PATHSPECS.replace("|", "\n").strip().split("\n"):
        ours, said = remote(programs, newest_git, tree, "main", "--", *words.split())
        git = newest_git.run("archive", "main", "--", *words.split(), cwd=tree, check=False)
        assert ours == git.stdout, (words, said, git.stderr)
        assert bool(said) == bool(git.stderr), words


BY_ATTRIBUTES = r"""
:(attr:one) | :(attr:one)docs | :(attr:-one) | :(attr:!one) | :(attr:two=b) | :(attr:two) | :(attr:)
:(attr:one~two=b) | :(attr:three) | :(exclude,attr:one) | :(attr:one,attr:two) | :(attr) | :(attrx)
:(attr:no/good) | :(glob,attr:one)**/x.c | :(attr:one)*.c | :(attr:one)*.txt | :(attr:mac)
:(attr:two=a\,b) | :(attr:-one=1) | :(attr:two=) | :(attr:two=b\~2) | :(attr:two=a.b) | :(attr:-)
:(attr:~) | :(attr:~one~) | :(attr:=1) | :(attr:two=b)docs/ | :(attr:-one)docs/deep | :(attr:one
:(attr:two=a\)b) | :(attr:two=a,x) | :(literal,attr:one)d.c | :(icase,attr:one)D.C | :(attr:one,)
:(attr:three)docs/a.txt | :(,attr:one) | :(ATTR:one) | :(attr:two=a\\b) | :(attr:two=\b)
:(attr:export-ignore) | :(attr:export-ignore)tests | :!docs :(attr:one) | :(attr:four)docs/tests
:(attr:five) | :(attr:three)docs | :(top,attr:one)docs | docs/a.txt :(attr:five)
"""
"""With ``~`` for blanks within a word."""


def test_by_attributes(newest_git: Git, programs: Programs, tree: Path) -> None:
    git, work = newest_git, tree.parent / "work"
    (work / "d.c").write_text("x\n")
    (work / "docs/deep/x.c").write_text("x\n")
    (work / "docs/x.c").write_text("x\n")
    with (work / ".gitattributes").open("a") as file:
        file.write("*.c one\ndocs/*.txt two=b\nrun one two=b\nlink one\ndocs three\nplain mac\n")
        file.write("docs/tests/* four\n[attr]mac one\nempty two=a,b\n")
    with (work / "docs/.gitattributes").open("a") as file:
        file.write("deep/x.c -one !three\n")
    (tree / "info").mkdir(exist_ok=True)
    (tree / "info/attributes").write_text("binary five\n")
    git.run("add", ".", cwd=work)
    git.run("commit", "-q", "-m", "attributes", cwd=work)
    git.run("push", "-q", "origin", "main", cwd=work)
    for words in BY_ATTRIBUTES.replace("|", "\n").strip().split("\n"):
        asked = [word.replace("~", " ") for word in words.split()]
        ours, said = remote(programs, git, tree, "main", "--", *asked)
        judged = git.run("archive", "main", "--", *asked, cwd=tree, check=False)
        assert ours == judged.stdout, (words, said, judged.stderr)
        # what is no pathspec at all, the client may say by itself
        told = [line.removeprefix(b"remote: ").rstrip() for line in said.splitlines()[:1]]
        assert told == [line.rstrip() for line in judged.stderr.splitlines()], words


def test_the_mode_is_an_attribute(newest_git: Git, programs: Programs, tree: Path) -> None:
    """To pathspecs; git 2.43 and later."""
    asked = ("main", "--", ":(attr:builtin_objectmode=100755)")
    ours, said = remote(programs, newest_git, tree, *asked)
    assert ours == newest_git.run("archive", *asked, cwd=tree).stdout, said


def test_one_path(newest_git: Git, programs: Programs, tree: Path) -> None:
    """The others' order is the tree's; patterns that overlap give nothing twice."""
    words = ("main", "docs/*.txt", "docs", "*.txt", ":!docs/deep")
    ours, said = remote(programs, newest_git, tree, *words)
    assert ours == newest_git.run("archive", *words, cwd=tree).stdout, said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], b"no such ref: nowhere"),
        (["main:plain"], b"not a tree object"),
        (["main", "nowhere"], b"did not match any files"),
        (["--add-file=/etc/passwd", "main"], b"add-file"),
    ],
)
def test_refusals(
    newest_git: Git, programs: Programs, tree: Path, arguments: list[str], said: bytes
) -> None:
    assert said in remote(programs, newest_git, tree, *arguments)[1]


def test_an_id_only_where_that_is_allowed(newest_git: Git, programs: Programs, tree: Path) -> None:
    commit = newest_git.text("rev-parse", "main", cwd=tree)
    assert b"no such ref" in remote(programs, newest_git, tree, commit)[1]
    newest_git.run("config", "uploadarchive.allowUnreachable", "true", cwd=tree)
    ours, said = remote(programs, newest_git, tree, commit)
    assert ours == newest_git.run("archive", commit, cwd=tree).stdout, said


@pytest.fixture
def http(base: Path, tmp_path: Path) -> Iterator[Server]:
    options = ["--export-all", "--workers=1"]
    with running_server(http_programs(), base, tmp_path / "http.log", options) as server:
        server.scheme = "http"
        yield server


@pytest.mark.ours
def test_over_http(newest_git: Git, http: Server, tree: Path) -> None:
    url = http.url(tree)
    refused = newest_git.run("archive", f"--remote={url}", "main", check=False)
    assert (refused.returncode, refused.stdout) == (128, b"")
    assert b"403" in refused.stderr
    newest_git.run("config", "http.uploadarchive", "true", cwd=tree)
    for words in (["main"], ["--format=zip", "main"], ["main", "docs"]):
        done = newest_git.run("archive", f"--remote={url}", *words)
        assert done.stdout == newest_git.run("archive", *words, cwd=tree).stdout
    unknown = newest_git.run("archive", f"--remote={url}", "nobody", check=False)
    assert b"remote: fatal: no such ref: nobody" in unknown.stderr


@pytest.mark.ours
@pytest.mark.parametrize("version", ["0", "1", "2"])
@pytest.mark.parametrize(
    ("user", "allowed"), [("", True), ("joe", None), ("joe", False), ("", None)]
)
def test_over_cgi_as_git_answers(
    newest_git: Git, tree: Path, user: str, allowed: bool | None, version: str
) -> None:
    """Whoever has signed in may, unless the repository says otherwise. The request is the same in
    all versions, though git's client asks in version 2 only."""
    if allowed is not None:
        newest_git.run("config", "http.uploadarchive", str(allowed).lower(), cwd=tree)
    body = b"0012argument main\n0000"
    environ = {
        **os.environ, "GIT_PROJECT_ROOT": str(tree.parent), "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": "POST", "PATH_INFO": f"/{tree.name}/git-upload-archive",
        "CONTENT_TYPE": "application/x-git-upload-archive-request",
        "CONTENT_LENGTH": str(len(body)), "GIT_PROTOCOL": f"version={version}",
        **({"REMOTE_USER": user} if user else {}),
    }  # fmt: skip
    ours, git = (
        subprocess.run(
            [*command, "http-backend"], input=body, env=environ, capture_output=True, check=True
        ).stdout
        for command in (gitserve_programs().daemon[:1], (newest_git.path,))
    )
    if allowed is False or (allowed is None and not user):
        assert ours.split(b"\r\n")[0] == git.split(b"\r\n")[0] == b"Status: 403 Forbidden"
        return
    assert without_frames(ours) == without_frames(git)
    assert b"application/x-git-upload-archive-result" in ours
    asked = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{tree.name}/info/refs",
             "QUERY_STRING": "service=git-upload-archive", "CONTENT_LENGTH": ""}  # fmt: skip
    told = subprocess.run(
        [*gitserve_programs().daemon[:1], "http-backend"], env={**environ, **asked},
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert told.endswith(b"000eversion 2\n0000")


def without_frames(answer: bytes) -> tuple[bytes, bytes]:
    """Headers, and what the first band carries, however it is cut."""
    head, _, rest = answer.partition(b"\r\n\r\n0008ACK\n0000")
    data = b""
    while rest:
        length = max(4, int(rest[:4], 16))
        data += rest[5:length]
        rest = rest[length:]
    return head.split(b"\r\n\r\n")[0].replace(b"Status: 200 OK\r\n", b""), data
