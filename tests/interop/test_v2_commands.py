"""v2's commands and arguments that a repository has to allow, beside git's answers to the same."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.raw import DELIM, FLUSH, pkt
from tests.support.server import gitserve_programs

pytestmark = pytest.mark.ours


def command(name: str, *arguments: str) -> bytes:
    lines = b"".join(pkt(line.encode() + b"\n") for line in arguments)
    return pkt(f"command={name}\n".encode()) + DELIM + lines + FLUSH


def ours(
    repository: Path, request: bytes, *options: str, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Our upload-pack's answer."""
    words = [*gitserve_programs().upload_pack.split(), "--stateless-rpc", *options, str(repository)]
    return subprocess.run(
        words, input=request, capture_output=True, timeout=60,
        env={**os.environ, "GIT_PROTOCOL": "version=2", **environ},
    )  # fmt: skip


def theirs(git: Git, repository: Path, request: bytes) -> bytes:
    done = subprocess.run(
        [git.path, "upload-pack", "--stateless-rpc", str(repository)],
        input=request, capture_output=True, timeout=60,
        env={**os.environ, "GIT_PROTOCOL": "version=2"},
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, newest_git: Git) -> Path:
    """Two commits, a tag, a hidden ref."""
    path = tmp_path / "repository"
    newest_git.run("init", "-q", str(path), cwd=tmp_path)
    for name in ("one", "two"):
        (path / name).write_text(name * 100)
        newest_git.run("add", name, cwd=path)
        newest_git.run("commit", "-qm", name, cwd=path)
    newest_git.run("tag", "-a", "-m", "x", "v1", cwd=path)
    newest_git.run("update-ref", "refs/secret/x", "HEAD~1", cwd=path)
    return path


def test_object_info(repository: Path, newest_git: Git) -> None:
    ids = [
        newest_git.text("rev-parse", name, cwd=repository) for name in ("HEAD", "HEAD:one", "v1")
    ]
    request = command("object-info", "size", *(f"oid {i}" for i in (*ids, ids[0])))
    refused = ours(repository, request)
    assert refused.returncode == 128
    assert b"ERR serve: invalid command 'object-info'" in refused.stdout
    newest_git.run("config", "transfer.advertiseObjectInfo", "true", cwd=repository)
    assert ours(repository, request).stdout == theirs(newest_git, repository, request)
    assert b"object-info\n" in ours(repository, b"", "--advertise-refs").stdout


def test_bundle_uri(repository: Path, newest_git: Git) -> None:
    request = pkt(b"command=bundle-uri\n") + FLUSH
    assert b"ERR serve: invalid command" in ours(repository, request).stdout
    for key, value in (
        ("uploadpack.advertiseBundleURIs", "true"), ("bundle.version", "1"), ("bundle.mode", "all"),
        ("bundle.One.uri", "https://example.org/a.bundle"), ("bundle.One.extra", "x y"),
    ):  # fmt: skip
        newest_git.run("config", key, value, cwd=repository)
    answer = ours(repository, request).stdout
    assert pkt(b"bundle.One.uri=https://example.org/a.bundle") in answer
    assert answer == theirs(newest_git, repository, request)
    assert b"bundle-uri\n" in ours(repository, b"", "--advertise-refs").stdout
    assert b"ERR bundle-uri: unexpected" in ours(repository, command("bundle-uri", "x")).stdout


def test_want_ref(repository: Path, newest_git: Git) -> None:
    have = newest_git.text("rev-parse", "HEAD~1", cwd=repository)
    wanted = ("no-progress", "want-ref refs/tags/v1", "want-ref refs/heads/main", f"have {have}")
    request = command("fetch", *wanted, "done")
    assert b"unexpected line" in ours(repository, request).stdout
    newest_git.run("config", "uploadpack.allowRefInWant", "true", cwd=repository)
    newest_git.run("config", "transfer.hideRefs", "refs/secret", cwd=repository)
    newest_git.run("branch", "-M", "main", cwd=repository)
    answer, oracle = ours(repository, request).stdout, theirs(newest_git, repository, request)
    section = answer.partition(pkt(b"packfile\n"))[0]
    assert section.startswith(pkt(b"wanted-refs\n"))
    # git's order is that of a hash
    assert sorted(section.splitlines()) == sorted(
        oracle.partition(pkt(b"packfile\n"))[0].splitlines()
    )
    for name in ("refs/heads/none", "refs/secret/x", "main"):
        refused = ours(repository, command("fetch", f"want-ref {name}", "done"))
        assert f"ERR unknown ref {name}".encode() in refused.stdout
        assert refused.returncode == 128


@pytest.mark.parametrize("version", [0, 2])
def test_traces(repository: Path, newest_git: Git, tmp_path: Path, version: int) -> None:
    newest_git.run("config", "transfer.advertiseSID", "true", cwd=repository)
    packets, events = tmp_path / "packets", tmp_path / "events"
    newest_git.run(
        "-c", f"protocol.version={version}", "-c", "transfer.advertiseSID=true", "clone", "-q",
        "--depth=1", "-u", f"GIT_TRACE_BARE=1 GIT_TRACE_PACKET={packets} GIT_TRACE2_EVENT={events}"
        f" {gitserve_programs().upload_pack}", f"file://{repository}", str(tmp_path / "clone"),
        cwd=tmp_path,
    )  # fmt: skip
    head = newest_git.text("rev-parse", "HEAD", cwd=repository)
    lines = packets.read_text().splitlines()
    assert any(line.startswith(f"packet:  upload-pack< want {head}") for line in lines)
    assert any(line.startswith("packet:  upload-pack> ") and "agent=gitserve" in line
               for line in lines)  # fmt: skip
    assert not [line for line in lines if "\0" in line]
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [event["event"] for event in told][-2:] == ["exit", "atexit"]
    facts = {event["key"]: event["value"] for event in told if "key" in event}
    assert facts["negotiated-version"] == str(version)
    assert "client-sid" in facts
    assert facts["fetch-info"]["depth"] == 1
    assert facts["fetch-info"]["wants"] >= 1
