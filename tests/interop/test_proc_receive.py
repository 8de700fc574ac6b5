"""The proc-receive hook: a push to a place that only the hook knows how to fill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.test_hooks import add_hook, client, clone
from tests.support.client import Client
from tests.support.gits import refs

__all__ = ["client", "clone"]

HOOK = """#!{python}
import subprocess
import sys


def read():
    lines = []
    while (size := int(sys.stdin.buffer.read(4), 16)) > 0:
        lines.append(sys.stdin.buffer.read(size - 4))
    return lines


def write(*lines):
    for line in lines:
        sys.stdout.buffer.write(b"%04x%b" % (len(line) + 4, line))
    sys.stdout.buffer.write(b"0000")
    sys.stdout.flush()


greeting = read()
write(b"version=1\\0push-options atomic")
for command in read():
    old, new, ref = command.decode().split()
    print("hook got", ref, file=sys.stderr, flush=True)
options = read() if b"push-options" in greeting[0] else []
print("with", [option.decode() for option in options], file=sys.stderr, flush=True)
{act}
"""

MAKES_A_PULL_REQUEST = """
subprocess.run(["git", "update-ref", "refs/pull/1/head", new], check=True)
write(b"ok " + ref.encode(), b"option refname refs/pull/1/head")
"""


@pytest.fixture(autouse=True)
def handed_over(client: Client, lively: Path) -> None:
    client.git.run("config", "receive.procReceiveRefs", "refs/for", cwd=lively)
    client.git.run("config", "receive.advertisePushOptions", "true", cwd=lively)


def add_proc_receive(repository: Path, act: str) -> None:
    add_hook(repository, "proc-receive", HOOK.format(python=sys.executable, act=act))


def push(client: Client, clone: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """As a person reads it."""
    return client.run("push", "origin", *arguments, cwd=clone, check=False)


def test_the_hook_moves_another_ref(client: Client, lively: Path, clone: Path) -> None:
    add_proc_receive(lively, MAKES_A_PULL_REQUEST)
    add_hook(lively, "post-receive", "#!/bin/sh\ncat >told\n")
    before = refs(client.git, lively)
    done = push(client, clone, "--push-option=why", "main:refs/for/main", "main:side")
    tip = client.git.text("rev-parse", "main", cwd=clone)
    said = done.stderr.decode()
    assert "hook got refs/for/main" in said
    assert "with ['why']" in said
    assert "main -> refs/pull/1/head" in said
    assert refs(client.git, lively) == before | {
        "refs/pull/1/head": tip,
        "refs/heads/side": tip,
    }
    zeros = "0" * len(tip)
    assert (lively / "told").read_text().splitlines() == [
        f"{zeros} {tip} refs/pull/1/head",
        f"{zeros} {tip} refs/heads/side",
    ]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ('write(b"ng " + ref.encode() + b" not today")', "not today"),
        ("write()", "proc-receive failed to report status"),
        ("sys.exit(1)", "fail to run proc-receive hook"),
        ('write(b"ok " + ref.encode()); sys.exit(1)', None),
    ],
)
def test_what_the_hook_does_not_do_is_refused(
    client: Client, lively: Path, clone: Path, act: str, reason: str | None
) -> None:
    add_proc_receive(lively, act)
    before = refs(client.git, lively)
    done = push(client, clone, "main:refs/for/main")
    assert refs(client.git, lively) == before
    assert (done.returncode == 0) == (reason is None)
    if reason is not None:
        assert f"[remote rejected] main -> refs/for/main ({reason})" in done.stderr.decode()


def test_a_hook_that_gives_a_command_back(client: Client, lively: Path, clone: Path) -> None:
    add_proc_receive(lively, 'write(b"ok " + ref.encode(), b"option fall-through")')
    push(client, clone, "main:refs/for/main")
    tip = client.git.text("rev-parse", "main", cwd=clone)
    assert refs(client.git, lively)["refs/for/main"] == tip


def test_atomic_without_the_hook_moves_nothing(client: Client, lively: Path, clone: Path) -> None:
    before = refs(client.git, lively)
    done = push(client, clone, "--atomic", "main:refs/for/main", "main:side")
    said = done.stderr.decode()
    assert said.count("(fail to run proc-receive hook)") == 2
    assert 'error: cannot find hook "proc-receive"' in said
    assert refs(client.git, lively) == before


def test_a_hook_that_talks_nonsense(client: Client, lively: Path, clone: Path) -> None:
    add_hook(lively, "proc-receive", "#!/bin/sh\necho hello\n")
    done = push(client, clone, "main:refs/for/main", "main:side")
    assert "main -> refs/for/main (fail to run proc-receive hook)" in done.stderr.decode()
    assert "refs/heads/side" in refs(client.git, lively)
