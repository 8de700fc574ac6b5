"""``receive.fsckObjects``: objects that would mislead others are not let in."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.interop.test_hooks import client, clone
from tests.support.client import Client
from tests.support.gits import refs
from tests.support.server import gitserve_programs

__all__ = ["client", "clone"]


@pytest.fixture(autouse=True)
def strict(client: Client, lively: Path) -> None:
    client.git.run("config", "receive.fsckObjects", "true", cwd=lively)


def write(client: Client, clone: Path, kind: str, content: bytes) -> str:
    arguments = ("hash-object", "-w", "--literally", "-t", kind, "--stdin")
    return client.git.run(*arguments, cwd=clone, stdin=content).stdout.decode().strip()


def commit_of(client: Client, clone: Path, entry: bytes, blob: str) -> str:
    tree = write(client, clone, "tree", entry + b"\0" + bytes.fromhex(blob))
    return client.git.text("commit-tree", "-m", "evil", tree, cwd=clone)


def push(client: Client, clone: Path, what: str) -> str:
    done = client.run("push", "origin", f"{what}:refs/heads/new", cwd=clone, check=False)
    return done.stderr.decode()


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        (b"100644 .GIT", b"", "hasDotgit"),
        (b"100644 ..", b"", "hasDotdot"),
        (b"120000 .gitmodules", b"x", "gitmodulesSymlink"),
        (b"100644 .gitmodules", b'[submodule "a"]\n\turl = -u./x\n', "gitmodulesUrl"),
        (b"100644 .gitmodules", b'[submodule "../../x"]\n\turl = x\n', "gitmodulesName"),
        (b"100644 .gitattributes", b"x" * 3000, "gitattributesLineLength"),
    ],
)
def test_what_would_mislead_is_refused(
    client: Client, lively: Path, clone: Path, entry: bytes, content: bytes, message: str
) -> None:
    before = refs(client.git, lively)
    commit = commit_of(client, clone, entry, write(client, clone, "blob", content))
    said = push(client, clone, commit)
    assert f": {message}: " in said
    assert "(unpacker error)" in said
    assert refs(client.git, lively) == before
    assert client.git.run("cat-file", "-e", commit, cwd=lively, check=False).returncode != 0
    # who does not ask for checks gets none
    client.git.run("config", "receive.fsckObjects", "false", cwd=lively)
    assert "[new branch]" in push(client, clone, commit)


def test_rules_and_exceptions(client: Client, lively: Path, clone: Path) -> None:
    tree = client.git.text("rev-parse", "HEAD^{tree}", cwd=clone)
    who = "<a@example.com> 1700000000 +0000"
    commit = write(
        client, clone, "commit", f"tree {tree}\nauthor {who}\ncommitter A {who}\n\n".encode()
    )
    assert ": missingNameBeforeEmail: " in push(client, clone, commit)

    def set_rule(name: str, value: str) -> None:
        client.git.run("config", f"receive.fsck.{name}", value, cwd=lively)

    set_rule("skipList", "no such file")
    assert "could not open object name list: no such file" in push(client, clone, commit)
    (lively / "skip").write_text("# known\n\nno id\n")
    set_rule("skipList", "skip")
    assert "invalid object name: no id (skip, line 3)" in push(client, clone, commit)
    (lively / "skip").write_text(f"# known\n{commit}\n")
    set_rule("skipList", "skip")
    assert "[new branch]" in push(client, clone, commit)

    client.git.run("update-ref", "-d", "refs/heads/new", cwd=lively)
    set_rule("skipList", "/dev/null")
    set_rule("missingNameBeforeEmail", "warn")
    set_rule("noSuchMessage", "warn")
    said = push(client, clone, commit)
    assert f"warning: object {commit}: missingNameBeforeEmail: " in said
    assert "warning: skipping unknown msg id 'nosuchmessage'" in said
    assert "[new branch]" in said


def test_a_list_of_exceptions_without_a_name(lively: Path) -> None:
    """Is told before anything is offered."""
    with (lively / "config").open("a") as file:
        file.write('[receive "fsck"]\n\tskipList\n')
    line = len((lively / "config").read_text().splitlines())
    command = shlex.split(gitserve_programs().receive_pack)
    done = subprocess.run([*command, lively], capture_output=True, check=False)
    said = f"unable to parse 'receive.fsck.skiplist' in file {lively}/config at line {line}"
    assert (done.returncode, done.stdout) == (128, b"")
    assert said.encode() in done.stderr


def test_a_good_history_passes(client: Client, served: Path, clone: Path) -> None:
    target = served / "empty.git"
    client.git.run("init", "-q", "--bare", target)
    client.git.run("config", "transfer.fsckObjects", "true", cwd=target)
    client.connect(clone, target, "target")
    client.run("push", "-q", "target", "--all", cwd=clone)
    assert refs(client.git, target)
