"""Hooks get from gitserve what they get from git: the same push to both, and what the hooks saw.

Beyond that: hooks that misbehave, and what is true at the moment each of them runs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.server import Programs, Server

Form = Callable[[str], Path]

RECORDER = """#!/bin/sh
name=$(basename "$0")
{
  echo "== $name"
  for word in "$@"; do echo "argument $word"; done
  echo "folder $(pwd)"
  env | grep -E '^GIT_(DIR|QUARANTINE_PATH|OBJECT_DIRECTORY|ALTERNATE|PUSH_OPTION)' | sort
  if test "$name" = pre-receive || test "$name" = post-receive; then sed 's/^/input /'; fi
} >>"$(pwd)/seen"
"""

HOOKS = ("pre-receive", "update", "post-receive", "post-update")


@pytest.fixture
def client(newest_git: Git, programs: Programs, server: Server) -> Client:
    return Client(newest_git, 2, "daemon", programs, server)


@pytest.fixture
def clone(client: Client, lively: Path, tmp_path: Path) -> Path:
    """A clone with one commit more."""
    client.clone(lively, tmp_path / "clone")
    client.git.run("commit", "-q", "--allow-empty", "-m", "mine", cwd=tmp_path / "clone")
    return tmp_path / "clone"


def add_hook(repository: Path, name: str, text: str) -> None:
    path = repository / "hooks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def seen(repository: Path) -> list[str]:
    """What the recorder wrote, without what has to differ."""
    text = (repository / "seen").read_text().replace(str(repository), "REPOSITORY")
    text = text.replace("REPOSITORY/./", "REPOSITORY/")
    text = re.sub(r"(tmp_objdir-incoming|incoming(-gitserve)?)-\w+", "QUARANTINE", text)
    return text.splitlines()


@pytest.mark.parametrize("options", [[], ["--push-option=one", "--push-option=two; x"]])
def test_the_contract(
    client: Client, lively: Path, served: Path, clone: Path, options: list[str]
) -> None:
    by_git = served / "by-git.git"
    for name in HOOKS:
        add_hook(lively, name, RECORDER)
    client.git.run("config", "receive.advertisePushOptions", "true", cwd=lively)
    shutil.copytree(lively, by_git)
    refspecs = ["main", "+main~3:refs/heads/topic", ":refs/tags/v0.19-1", "main:refs/tags/new"]
    # together, because otherwise newer gits (and we) ask about deletions first, older ones do not
    client.push(clone, "--atomic", *options, *refspecs)
    client.git.run("push", "-q", "--atomic", *options, f"file://{by_git}", *refspecs, cwd=clone)
    assert refs(client.git, lively) == refs(client.git, by_git)
    ours, theirs = seen(lively), seen(by_git)
    # ours asks the update hook while the objects still wait, so that what it declines leaves no
    # trace; git has moved them by then
    waiting = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE")
    assert without_update(ours, waiting) == without_update(theirs, waiting)


def without_update(lines: list[str], prefixes: tuple[str, ...]) -> list[str]:
    kept: list[str] = []
    hook = ""
    for line in lines:
        if line.startswith("== "):
            hook = line
        if not (hook == "== update" and line.startswith(prefixes)):
            kept.append(line)
    return kept


def test_pre_receive_sees_objects_and_old_refs(client: Client, lively: Path, clone: Path) -> None:
    add_hook(
        lively,
        "pre-receive",
        "#!/bin/sh\nread old new ref\n"
        "git cat-file -t $new && git rev-list $old..$new && git rev-parse $ref\n",
    )
    before = refs(client.git, lively)["refs/heads/main"]
    done = client.push(clone, "main")
    tip = client.git.text("rev-parse", "main", cwd=clone)
    said = [line[8:].strip() for line in done.stderr.decode().splitlines() if "remote:" in line]
    assert said == ["commit", tip, before]


def test_what_update_declines_leaves_no_trace(client: Client, lively: Path, clone: Path) -> None:
    add_hook(lively, "update", "#!/bin/sh\nexit 1\n")
    objects = object_ids(client.git, lively)
    everything = sorted(path for path in lively.rglob("*"))
    done = client.push(clone, "main", check=False)
    assert b"hook declined" in done.stdout
    assert object_ids(client.git, lively) == objects
    assert sorted(path for path in lively.rglob("*")) == everything


def test_post_receive_finds_everything_done(client: Client, lively: Path, clone: Path) -> None:
    add_hook(
        lively,
        "post-receive",
        "#!/bin/sh\nread old new ref\ngit rev-parse $ref\nenv | grep QUARANTINE\n"
        "ls objects | grep incoming\n",
    )
    done = client.push(clone, "main")
    tip = client.git.text("rev-parse", "main", cwd=clone)
    assert [line for line in done.stderr.decode().splitlines() if "remote:" in line] == [
        f"remote: {tip}        "
    ]


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_does_not_read_and_one_that_is_not_executable(
    client: Client, lively: Path, clone: Path, name: str
) -> None:
    """More input than a pipe holds."""
    tip = client.git.text("rev-parse", "main", cwd=clone)
    add_hook(lively, name, "#!/bin/sh\nexec <&-\nexit 0\n")
    add_hook(lively, "pre-receive" if name != "pre-receive" else "update", "#!/bin/sh\nexit 1\n")
    for other in HOOKS:
        if other != name and (lively / "hooks" / other).exists():
            (lively / "hooks" / other).chmod(0o644)
    many = "".join(f"create refs/heads/mass/{number:05} {tip}\n" for number in range(2000))
    client.git.run("update-ref", "--stdin", cwd=clone, stdin=many.encode())
    client.push(clone, "refs/heads/mass/*:refs/heads/mass/*")
    assert len(refs(client.git, lively, "refs/heads/mass")) == 2000


def test_a_hook_that_cannot_run_is_a_refusal(client: Client, lively: Path, clone: Path) -> None:
    add_hook(lively, "pre-receive", "#!/no/such/interpreter\n")
    before = refs(client.git, lively)
    done = client.push(clone, "main", check=False)
    assert done.returncode == 1
    assert b"pre-receive hook declined" in done.stdout
    assert refs(client.git, lively) == before


def test_hooks_path(client: Client, lively: Path, clone: Path, tmp_path: Path) -> None:
    add_hook(lively, "pre-receive", "#!/bin/sh\nexit 1\n")
    elsewhere = tmp_path / "elsewhere"
    add_hook(elsewhere, "update", "#!/bin/sh\necho from elsewhere\n")
    client.git.run("config", "core.hooksPath", elsewhere / "hooks", cwd=lively)
    assert b"remote: from elsewhere" in client.push(clone, "main").stderr


def test_post_hooks_run_for_what_was_done(client: Client, lively: Path, clone: Path) -> None:
    """A deletion of nothing is ``ok`` to the client, and nothing to tell anybody."""
    for name in ("post-receive", "post-update"):
        add_hook(lively, name, RECORDER)
    add_hook(lively, "update", '#!/bin/sh\ntest "$1" != refs/heads/no\n')
    client.push(clone, "main", "main:refs/heads/no", ":refs/heads/absent", check=False)
    told = [line for line in seen(lively) if line.startswith(("input", "argument"))]
    assert [line.split()[-1] for line in told] == ["refs/heads/main", "refs/heads/main"]


@pytest.mark.parametrize("name", ["pre-receive", "post-receive"])
def test_a_client_that_leaves_while_a_hook_runs(
    client: Client, lively: Path, clone: Path, name: str, server: Server
) -> None:
    """Before the refs move it ends the push; afterwards the hook is let finish its work."""
    add_hook(
        lively,
        name,
        "#!/bin/sh\necho started\ntouch started\nwhile ! test -e gone; do sleep 0.02; done\n"
        "for i in 1 2 3 4 5 6 7 8 9; do echo more; sleep 0.02; done\ntouch finished\n",
    )
    pushing = subprocess.Popen(
        [client.git.path, "push", "-q", "origin", "main"],
        cwd=clone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        env=dict(os.environ),
    )  # fmt: skip
    wait_for(lively / "started")
    pushing.kill()
    pushing.wait()
    (lively / "gone").touch()
    tip = client.git.text("rev-parse", "main", cwd=clone)
    if name == "post-receive":
        wait_for(lively / "finished")
        assert refs(client.git, lively)["refs/heads/main"] == tip
    else:
        assert "client failed" in until_logged(server, "git-receive-pack")
        assert refs(client.git, lively)["refs/heads/main"] != tip
        assert not (lively / "finished").exists()


@pytest.mark.parametrize("name", ["pre-receive", "update", "post-receive"])
def test_the_server_dies_while_a_hook_runs(
    client: Client, lively: Path, clone: Path, name: str
) -> None:
    """Whatever had been done by then is whole, and the next push works."""
    add_hook(lively, name, "#!/bin/sh\nkill -9 $PPID\nsleep 1\n")
    before = refs(client.git, lively)["refs/heads/main"]
    tip = client.git.text("rev-parse", "main", cwd=clone)
    client.push(clone, "main", check=False)
    assert_sound(client.git, lively)
    moved = name == "post-receive"
    assert refs(client.git, lively)["refs/heads/main"] == (tip if moved else before)
    (lively / "hooks" / name).unlink()
    client.git.run("commit", "-q", "--allow-empty", "-m", "again", cwd=clone)
    client.push(clone, "main")
    assert_sound(client.git, lively)
    again = client.git.text("rev-parse", "main", cwd=clone)
    assert refs(client.git, lively)["refs/heads/main"] == again


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.02)


def until_logged(server: Server, words: str) -> str:
    deadline = time.monotonic() + 30
    log = ""
    while words not in log:
        assert time.monotonic() < deadline, log
        log += server.new_log()
        time.sleep(0.02)
    return log


def bands_of(command: list[str], request: bytes) -> dict[int, bytes]:
    """What a receive-pack says behind its advertisement, by band."""
    done = subprocess.run(command, input=request, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[int, bytes] = {}
    rest = done.stdout.partition(b"0000")[2]
    while rest:
        size = int(rest[:4], 16)
        if size > 4:
            found[rest[4]] = found.get(rest[4], b"") + rest[5:size]
        rest = rest[max(size, 4) :]
    return found


def test_what_a_hook_prints_arrives_as_it_is(
    newest_git: Git, programs: Programs, lively: Path
) -> None:
    """Escape sequences, zeros, carriage returns, no UTF-8: git passes them on, and so do we; what a
    terminal gets to see is for the client to decide."""
    said = r"\033[31mred\033[0m \000 \r 50%%\r100%%\n \377\376 \007 no end"
    for name in ("pre-receive", "update", "post-receive"):
        add_hook(lively, name, f"#!/bin/sh\nprintf '{name} {said}'\nprintf '{said}\\n' >&2\n")
    tip = newest_git.text("rev-parse", "main", cwd=lively)
    answers = []
    for number, program in enumerate((f"{newest_git.path} receive-pack", programs.receive_pack)):
        line = f"{'0' * len(tip)} {tip} refs/heads/new{number}"
        line += "\0report-status side-band-64k object-format=sha1"
        empty = newest_git.run("pack-objects", "--stdout", "-q", cwd=lively, stdin=b"").stdout
        request = f"{len(line) + 4:04x}{line}0000".encode() + empty
        answers.append(bands_of([*shlex.split(program), str(lively)], request))
    theirs, ours = answers
    assert b"\x1b[31mred" in theirs[2]
    assert b"\0" in theirs[2]
    assert ours[2] == theirs[2]
    assert ours[1].replace(b"new1", b"new0") == theirs[1]
