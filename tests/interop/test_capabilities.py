"""What is offered follows from configuration as it does with git: word for word, but for names."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import Programs

pytestmark = pytest.mark.ours


def offered(program: str, repository: Path, version: int) -> list[bytes]:
    """Capabilities; whose values each server makes for itself, by name alone."""
    done = subprocess.run(
        [*shlex.split(program), "--http-backend-info-refs", str(repository)],
        capture_output=True, timeout=60, check=True,
        env={"GIT_PROTOCOL": f"version={version}", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nowhere",
             "GIT_CONFIG_GLOBAL": "/dev/null", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )  # fmt: skip
    lines: list[bytes] = []
    rest = done.stdout
    while rest and rest[:4] != b"0000":
        size = int(rest[:4], 16)
        lines.append(rest[4:size].rstrip(b"\n"))
        rest = rest[size:]
    first = lines[1] if version == 1 else lines[0]
    words = lines[1:] if version == 2 else first.split(b"\0")[1].split()
    own = (b"agent=", b"session-id=", b"push-cert=")
    return [w.partition(b"=")[0] if w.startswith(own) else w for w in words]


UPLOAD = [
    {},
    {"uploadpack.allowFilter": "true"},
    {"uploadpack.allowTipSHA1InWant": "true"},
    {"uploadpack.allowReachableSHA1InWant": "true"},
    {"uploadpack.allowAnySHA1InWant": "true"},
    {"uploadpack.allowRefInWant": "true"},
    {"uploadpack.allowSidebandAll": "true"},
    {"uploadpack.advertiseBundleURIs": "true"},
    {"uploadpack.blobPackfileURI": "1 2 https://example.com/3"},
    {"transfer.advertiseSID": "true"},
    {"transfer.advertiseObjectInfo": "true"},
    {"lsrefs.unborn": "advertise"},
    {"lsrefs.unborn": "allow"},
    {"lsrefs.unborn": "ignore"},
]
RECEIVE = [
    {},
    {"receive.advertiseAtomic": "false"},
    {"receive.advertisePushOptions": "true"},
    {"receive.certNonceSeed": "secret"},
    {"repack.useDeltaBaseOffset": "false"},
    {"transfer.advertiseSID": "true"},
]


def _named(settings: dict[str, str]) -> str:
    return ",".join(f"{key}={value.split()[0]}" for key, value in settings.items()) or "nothing"


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("settings", UPLOAD, ids=_named)
def test_of_a_fetch(
    newest_git: Git, programs: Programs, lively: Path, version: int, settings: dict[str, str]
) -> None:
    for key, value in settings.items():
        newest_git.run("config", key, value, cwd=lively)
    theirs = offered(f"{newest_git.path} upload-pack", lively, version)
    assert sorted(offered(programs.upload_pack, lively, version)) == sorted(theirs)


@pytest.mark.parametrize("settings", RECEIVE, ids=_named)
def test_of_a_push(
    newest_git: Git, programs: Programs, lively: Path, settings: dict[str, str]
) -> None:
    for key, value in settings.items():
        newest_git.run("config", key, value, cwd=lively)
    theirs = offered(f"{newest_git.path} receive-pack", lively, 0)
    assert sorted(offered(programs.receive_pack, lively, 0)) == sorted(theirs)


def test_promisor_remotes(newest_git: Git, programs: Programs, lively: Path) -> None:
    """Newer than the gits here: gitprotocol-v2, "promisor-remote=<pr-info>"."""
    assert not [w for w in offered(programs.upload_pack, lively, 2) if b"promisor" in w]
    for key, value in (
        ("remote.lop.url", "https://example.com/large%files"), ("remote.lop.promisor", "true"),
        ("promisor.advertise", "true"), ("remote.other.url", "https://example.com/other"),
    ):  # fmt: skip
        newest_git.run("config", key, value, cwd=lively)
    (told,) = [w for w in offered(programs.upload_pack, lively, 2) if b"promisor" in w]
    assert told == b"promisor-remote=name=lop,url=https://example.com/large%25files"
