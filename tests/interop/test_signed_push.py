"""``git push --signed``, with a stand-in for GnuPG that both ends believe."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.test_hooks import add_hook, client, clone
from tests.support.client import Client
from tests.support.gits import object_ids, refs

__all__ = ["client", "clone"]

GPG = """#!{python}
import hashlib
import sys

if "--verify" in sys.argv:
    name = sys.argv[sys.argv.index("--verify") + 1]
    made = open(name).read().split("\\n")[1]
    good = made == hashlib.sha256(sys.stdin.buffer.read()).hexdigest()
    print("[GNUPG:] " + ("GOODSIG" if good else "BADSIG") + " 0123 Some Body <s@example.com>")
    sys.exit(not good)
print("-----BEGIN PGP SIGNATURE-----")
print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())
print("-----END PGP SIGNATURE-----")
print("\\n[GNUPG:] SIG_CREATED ", file=sys.stderr)
"""

RECORDER = """#!/bin/sh
cat >/dev/null
env | grep ^GIT_PUSH_CERT | grep -v NONCE= | sort >$(basename "$0")-saw
git cat-file blob $GIT_PUSH_CERT >certificate
"""


@pytest.fixture(autouse=True)
def gpg(client: Client, lively: Path, clone: Path, tmp_path: Path) -> None:
    program = tmp_path / "gpg"
    program.write_text(GPG.format(python=sys.executable).replace("\\\\n", "\\n"))
    program.chmod(0o755)
    for repository in (lively, clone):
        client.git.run("config", "gpg.program", str(program), cwd=repository)
    client.git.run("config", "user.signingKey", "me", cwd=clone)


def test_hooks_learn_who_signed(client: Client, lively: Path, clone: Path) -> None:
    client.git.run("config", "receive.certNonceSeed", "secret", cwd=lively)
    for name in ("pre-receive", "post-receive"):
        add_hook(lively, name, RECORDER)
    client.push(clone, "--signed", "main:new")
    tip = client.git.text("rev-parse", "main", cwd=clone)
    assert refs(client.git, lively)["refs/heads/new"] == tip
    blob = client.git.text("hash-object", str(lively / "certificate"), cwd=lively)
    for name in ("pre-receive", "post-receive"):
        assert (lively / f"{name}-saw").read_text().splitlines() == [
            f"GIT_PUSH_CERT={blob}",
            "GIT_PUSH_CERT_KEY=0123",
            "GIT_PUSH_CERT_NONCE_STATUS=OK",
            "GIT_PUSH_CERT_SIGNER=Some Body <s@example.com>",
            "GIT_PUSH_CERT_STATUS=G",
        ]
    assert f"{'0' * len(tip)} {tip} refs/heads/new" in (lively / "certificate").read_text()


def test_who_asks_for_no_certificate_gets_none(client: Client, lively: Path, clone: Path) -> None:
    done = client.push(clone, "--signed", "main:new", check=False)
    assert "the receiving end does not support --signed push" in done.stderr.decode()
    assert "refs/heads/new" not in refs(client.git, lively)


@pytest.mark.ours
@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_refused_push_leaves_no_certificate(
    client: Client, lively: Path, clone: Path, hook: str
) -> None:
    client.git.run("config", "receive.certNonceSeed", "secret", cwd=lively)
    add_hook(lively, "pre-receive", RECORDER)
    add_hook(lively, hook, RECORDER + "exit 1\n" if hook == "pre-receive" else "#!/bin/sh\nexit 1")
    before = object_ids(client.git, lively)
    done = client.push(clone, "--signed", "main:new", check=False)
    assert b"declined" in done.stdout
    # the hook has read it
    assert b"refs/heads/new" in (lively / "certificate").read_bytes()
    assert object_ids(client.git, lively) == before


def test_a_signed_deletion_keeps_its_certificate(client: Client, lively: Path, clone: Path) -> None:
    """There are no objects but this one."""
    client.git.run("config", "receive.certNonceSeed", "secret", cwd=lively)
    client.push(clone, "main:old")
    add_hook(lively, "pre-receive", RECORDER)
    add_hook(lively, "post-receive", RECORDER)
    client.push(clone, "--signed", ":old")
    assert "refs/heads/old" not in refs(client.git, lively)
    blob = client.git.text("hash-object", str(lively / "certificate"), cwd=lively)
    assert client.git.text("cat-file", "-t", blob, cwd=lively) == "blob"
    for name in ("pre-receive", "post-receive"):
        assert f"GIT_PUSH_CERT={blob}" in (lively / f"{name}-saw").read_text()
