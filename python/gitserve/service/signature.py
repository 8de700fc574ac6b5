"""Who has signed a text? Asks the programs that git asks.

In: a text, a signature, the repository's configuration. Out: git's letter for it, signer and key.
Implements ``gpg.program``, ``gpg.<format>.program``, ``gpg.ssh.allowedSignersFile`` of
git-config(1); the letters are those of ``%G?`` in git-log(1). A signature that cannot be verified
is no error: whoever asked decides what it is worth.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence

from gitserve.record import Record
from gitserve.repository.config import Config
from gitserve.service.process import ProgramTimeout, run_program

SECONDS = 60.0
"""For one run of such a program; who pushes waits for it."""

_LETTERS = {
    b"GOODSIG": b"G",
    b"BADSIG": b"B",
    b"EXPSIG": b"X",
    b"EXPKEYSIG": b"Y",
    b"REVKEYSIG": b"R",
    b"ERRSIG": b"E",
}
"""What GnuPG's status lines come to (its doc/DETAILS)."""


class Signed(Record):
    """What is known of a signature."""

    letter: bytes
    signer: bytes = b""
    key: bytes = b""


def verify(payload: bytes, signature: bytes, config: Config, signed_at: int | None) -> Signed:
    """``signed_at``: seconds since 1970, when the text says so itself."""
    if not signature:
        return Signed(b"N")
    with tempfile.NamedTemporaryFile(prefix="gitserve-signature-") as file:
        file.write(signature)
        file.flush()
        try:
            if signature.startswith(b"-----BEGIN SSH SIGNATURE"):
                return _by_ssh(payload, file.name, config, signed_at)
            kind = "x509" if signature.startswith(b"-----BEGIN SIGNED MESSAGE") else "openpgp"
            return _by_gnupg(payload, file.name, config, kind)
        except (OSError, ProgramTimeout):
            return Signed(b"E")


def _by_gnupg(payload: bytes, path: str, config: Config, kind: str) -> Signed:
    if kind == "x509":
        program = config.get_path("gpg.x509.program") or "gpgsm"
        arguments = [program, "--status-fd=1", "--verify", path, "-"]
    else:
        named = config.get_path("gpg.openpgp.program") or config.get_path("gpg.program")
        arguments = [
            named or "gpg", "--keyid-format=long", "--status-fd=1", "--verify", path, "-",
        ]  # fmt: skip
    _, said = _run(arguments, payload)
    letter, signer, key, trusted = b"N", b"", b"", True
    for line in said.splitlines():
        words = line.removeprefix(b"[GNUPG:] ").split(b" ", 2)
        if line == words[0] or not line.startswith(b"[GNUPG:] "):
            continue
        if words[0] in _LETTERS:
            if letter != b"N":
                return Signed(b"E")  # two signatures: whose is it?
            letter = _LETTERS[words[0]]
            key = words[1] if len(words) > 1 else b""
            signer = words[2] if len(words) > 2 and words[0] != b"ERRSIG" else b""
        elif words[0] in (b"TRUST_UNDEFINED", b"TRUST_NEVER"):
            trusted = False
    return Signed(b"U" if letter == b"G" and not trusted else letter, signer, key)


def _by_ssh(payload: bytes, path: str, config: Config, signed_at: int | None) -> Signed:
    program = config.get_path("gpg.ssh.program") or "ssh-keygen"
    allowed = config.get_path("gpg.ssh.allowedsignersfile")
    if not allowed:
        return Signed(b"N")  # nobody has said whose signatures count
    at = []
    if signed_at is not None:
        at = ["-Overify-time=" + time.strftime("%Y%m%d%H%M%S", time.localtime(signed_at))]
    status, said = _run([program, "-Y", "find-principals", "-f", allowed, "-s", path, *at], b"")
    if status == 0:
        for principal in said.splitlines():
            status, said = _run(
                [
                    program, "-Y", "verify", "-n", "git", "-f", allowed,
                    "-I", os.fsdecode(principal.strip()), "-s", path, *at,
                ],
                payload,
            )  # fmt: skip
            if status == 0 and said.startswith(b"Good"):
                return Signed(b"G", principal.strip(), _ssh_key(said))
        return Signed(b"B")
    status, said = _run([program, "-Y", "check-novalidate", "-n", "git", "-s", path, *at], payload)
    if status == 0 and said.startswith(b"Good"):
        return Signed(b"U", b"", _ssh_key(said))
    return Signed(b"B")


def _ssh_key(said: bytes) -> bytes:
    return said.splitlines()[0].rpartition(b" key ")[2].strip()


def _run(arguments: Sequence[str], stdin: bytes) -> tuple[int, bytes]:
    said: list[bytes] = []
    status = run_program(
        arguments,
        cwd=os.getcwd(),
        environ=os.environ,
        stdin=stdin,
        on_output=said.append,
        timeout=SECONDS,
    )
    return status, b"".join(said)
