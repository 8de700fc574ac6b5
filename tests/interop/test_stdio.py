"""The services on pipes: arguments, exit status, words on standard error."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import Programs

Form = Callable[[str], Path]


def run(
    command: str, *arguments: str | Path, stdin: bytes = b"", **env: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*command.split(), *map(str, arguments)], input=stdin, capture_output=True,
        env={**os.environ, **env}, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("option", ["--advertise-refs", "--http-backend-info-refs"])
@pytest.mark.parametrize("protocol", ["", "version=1", "version=2", "key:version=2:x=y"])
def test_only_the_advertisement(programs: Programs, form: Form, option: str, protocol: str) -> None:
    done = run(
        programs.upload_pack, "--stateless-rpc", option, form("small"), GIT_PROTOCOL=protocol
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"0000")
    first = {"": b" HEAD\0", "version=1": b"version 1\n"}.get(protocol, b"version 2\n")
    assert first in done.stdout[:80]
    done = run(programs.receive_pack, "--stateless-rpc", option, form("small"))
    assert b"report-status" in done.stdout
    assert b"HEAD" not in done.stdout


def test_a_client_that_wants_nothing(programs: Programs, form: Form) -> None:
    for command in (programs.upload_pack, programs.receive_pack):
        done = run(command, form("small"), stdin=b"0000")
        assert (done.returncode, done.stderr) == (0, b"")


def test_a_client_that_goes_away(programs: Programs, form: Form) -> None:
    done = run(programs.upload_pack, form("small"), stdin=b"0032want 12")
    assert done.returncode == 128
    assert b"Traceback" not in done.stderr
    assert b"fatal: the remote end hung up" in done.stderr


def test_no_repository(programs: Programs, tmp_path: Path, form: Form) -> None:
    for command in (programs.upload_pack, programs.receive_pack):
        for place in (tmp_path, tmp_path / "nothing", Path("/dev/null")):
            done = run(command, place)
            assert done.returncode == 128
            words = f"fatal: '{place}' does not appear to be a git repository".encode()
            assert done.stderr.startswith(words)
    done = run(programs.upload_pack, "--strict", form("non_bare"), stdin=b"0000")
    assert done.returncode == 128
    done = run(programs.upload_pack, "--no-strict", form("non_bare"), stdin=b"0000")
    assert done.returncode == 0


def test_wrong_use(programs: Programs, form: Form) -> None:
    for command in (programs.upload_pack, programs.receive_pack):
        for arguments in (
            [],
            ["--no-such-option", form("small")],
            ["a", "b"],
            ["--timeout=x", "a"],
        ):
            done = run(command, *arguments)
            assert done.returncode == 129
            assert b"usage:" in done.stderr or done.stderr.startswith(b"error: ")


@pytest.mark.ours
def test_help_and_version(programs: Programs) -> None:
    command = programs.upload_pack.split()[0]
    for words in (
        ["--help"],
        ["upload-pack", "--help"],
        ["receive-pack", "-h"],
        ["daemon", "--help"],
    ):
        done = run(command, *words)
        assert done.returncode == 0
        assert done.stdout.startswith(b"usage: gitserve")
    assert run(command, "--version").stdout.startswith(b"gitserve version ")
    assert run(command, "no-such-command").returncode == 129
    assert run(command).returncode == 129


@pytest.mark.ours
def test_timeout(programs: Programs, form: Form) -> None:
    """git is ended by its alarm; we say why."""
    with subprocess.Popen(
        [*programs.upload_pack.split(), "--timeout=1", form("small")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.wait(30) == 128
        assert process.stderr is not None
        assert b"fatal: the client did nothing for too long" in process.stderr.read()


def test_a_strangers_repository(
    programs: Programs, served: Path, newest_git: Git, form: Form
) -> None:
    newest_git.run("clone", "-q", "--bare", f"file://{form('small')}", served / "r.git")
    nobody = 65534
    if os.geteuid() != 0:
        return  # only root can give files away
    for folder, _, files in os.walk(served / "r.git"):
        for name in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(name, nobody, nobody)
    config = {"GIT_CONFIG_GLOBAL": "/dev/null"}
    for command in (programs.upload_pack, programs.receive_pack):
        done = run(command, served / "r.git", stdin=b"0000", **config)
        assert done.returncode == 128
        assert b"fatal: detected dubious ownership in repository at" in done.stderr
        config_now = {
            **config, "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": str(served / "r.git"),
        }  # fmt: skip
        done = run(command, served / "r.git", stdin=b"0000", **config_now)
        assert done.returncode == 0


def test_configuration_in_the_environment(programs: Programs, form: Form) -> None:
    """``git -c`` hands its settings on in the environment."""
    hide = {"GIT_CONFIG_PARAMETERS": "'transfer.hiderefs'='refs/tags'"}
    shown = run(programs.upload_pack, form("small"), stdin=b"0000").stdout
    hidden = run(programs.upload_pack, form("small"), stdin=b"0000", **hide).stdout
    assert b"refs/tags/" in shown
    assert b"refs/tags/" not in hidden
    broken = run(programs.upload_pack, form("small"), GIT_CONFIG_PARAMETERS="nonsense")
    assert broken.returncode == 128
    assert broken.stderr.startswith(b"error: bogus format") or b"fatal: bogus" in broken.stderr
