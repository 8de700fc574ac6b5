"""``receive.certNonceSlop`` over HTTP, where the nonce was asked for in another request."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import pytest
from gitserve.service import nonce

from tests.interop.test_hooks import add_hook
from tests.support.answers import ask
from tests.support.gits import Git, refs
from tests.support.raw import FLUSH, pkt
from tests.support.server import Server, http_programs, running_server

pytestmark = pytest.mark.ours

SEED = "secret"
EMPTY_PACK = b"PACK\0\0\0\2\0\0\0\0"
EMPTY_PACK += sha1(EMPTY_PACK).digest()
RECORDER = "#!/bin/sh\ncat >/dev/null\nenv | grep ^GIT_PUSH_CERT_NONCE_ | sort >saw\n"


@pytest.fixture
def http(base: Path, tmp_path: Path) -> Iterator[Server]:
    options = ["--export-all", "--enable=receive-pack"]
    with running_server(http_programs(), base, tmp_path / "log", options) as server:
        server.scheme = "http"
        yield server
        server.assert_unharmed()


def push(http: Server, repository: Path, tip: str, asked: bytes) -> bytes:
    """Makes a branch, with a certificate that nobody can verify, and no objects."""
    command = f"{'0' * len(tip)} {tip} refs/heads/signed\n".encode()
    body = b"".join(
        [
            pkt(b"push-cert\0report-status agent=x\n"),
            pkt(b"certificate version 0.1\n"),
            pkt(b"pusher C <c@example.org> 1700000000 +0000\n"),
            pkt(b"nonce " + asked + b"\n"),
            pkt(b"\n"),
            pkt(command),
            pkt(b"-----BEGIN PGP SIGNATURE-----\n"),
            pkt(b"-----END PGP SIGNATURE-----\n"),
            pkt(b"push-cert-end\n"),
            FLUSH,
            EMPTY_PACK,
        ]
    )
    answer = ask(
        f"{http.url(repository)}/git-receive-pack", "POST", body,
        Content_Type="application/x-git-receive-pack-request",
    )  # fmt: skip
    assert answer.status == 200, answer.content
    return answer.content


@pytest.mark.parametrize(
    ("slop", "status"), [("100", "OK"), ("5", "SLOP"), (None, "SLOP"), ("1m", "OK")]
)
def test_older_than_this_request(
    newest_git: Git, http: Server, lively: Path, slop: str | None, status: str
) -> None:
    git = newest_git
    git.run("config", "receive.certNonceSeed", SEED, cwd=lively)
    if slop is not None:
        git.run("config", "receive.certNonceSlop", slop, cwd=lively)
    add_hook(lively, "pre-receive", RECORDER)
    offered = ask(f"{http.url(lively)}/info/refs?service=git-receive-pack").content
    assert b" push-cert=" in offered
    older = nonce.make(SEED, os.fsencode(lively), int(time.time()) - 30)
    tip = git.text("rev-parse", "main", cwd=lively)
    assert b"ok refs/heads/signed" in push(http, lively, tip, older)
    assert refs(git, lively)["refs/heads/signed"] == tip
    saw = dict(line.split("=", 1) for line in (lively / "saw").read_text().splitlines())
    assert saw["GIT_PUSH_CERT_NONCE_STATUS"] == status
    if status == "SLOP":
        assert int(saw["GIT_PUSH_CERT_NONCE_SLOP"]) >= 30
    else:
        assert "GIT_PUSH_CERT_NONCE_SLOP" not in saw


def test_of_another_repository(newest_git: Git, http: Server, lively: Path) -> None:
    newest_git.run("config", "receive.certNonceSeed", SEED, cwd=lively)
    newest_git.run("config", "receive.certNonceSlop", "100", cwd=lively)
    add_hook(lively, "pre-receive", RECORDER)
    tip = newest_git.text("rev-parse", "main", cwd=lively)
    foreign = nonce.make(SEED, b"/another.git", int(time.time()))
    push(http, lively, tip, foreign)
    assert "GIT_PUSH_CERT_NONCE_STATUS=BAD" in (lively / "saw").read_text()
