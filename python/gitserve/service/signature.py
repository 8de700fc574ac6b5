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
from gitserve.service.coprocess import Coprocess
from gitserve.service.process import ProgramTimeout

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
    fingerprint: bytes = b""
    primary: bytes = b""
    """The fingerprint of the key that stands behind the one that signed."""
    trust: bytes = b"undefined"
    said: bytes = b""
    """What the program said for people."""


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
    _, said, told = _run(arguments, payload)
    letter, signer, key, trust = b"N", b"", b"", b""
    fingerprint = primary = b""
    for line in said.splitlines():
        words = line.removeprefix(b"[GNUPG:] ").split(b" ", 2)
        if line == words[0] or not line.startswith(b"[GNUPG:] "):
            continue
        if words[0] in _LETTERS:
            if letter != b"N":
                return Signed(b"E", said=told)  # two signatures: whose is it?
            letter = _LETTERS[words[0]]
            key = words[1] if len(words) > 1 else b""
            signer = words[2] if len(words) > 2 and words[0] != b"ERRSIG" else b""
        elif words[0] == b"VALIDSIG":
            fields = line.split()[2:]
            fingerprint = fields[0] if fields else b""
            primary = fields[9] if len(fields) > 9 else b""
        elif words[0].startswith(b"TRUST_"):
            trust = words[0][6:].lower()
    if letter == b"G" and trust in (b"undefined", b"never"):
        letter = b"U"
    return Signed(letter, signer, key, fingerprint, primary, trust or b"undefined", told)


def _by_ssh(payload: bytes, path: str, config: Config, signed_at: int | None) -> Signed:
    program = config.get_path("gpg.ssh.program") or "ssh-keygen"
    allowed = config.get_path("gpg.ssh.allowedsignersfile")
    if not allowed:
        return Signed(b"N")  # nobody has said whose signatures count
    at = []
    if signed_at is not None:
        at = ["-Overify-time=" + time.strftime("%Y%m%d%H%M%S", time.localtime(signed_at))]
    status, said, missed = _run(
        [program, "-Y", "find-principals", "-f", allowed, "-s", path, *at], b""
    )
    if status == 0:
        for principal in said.splitlines():
            status, said, told = _run(
                [
                    program, "-Y", "verify", "-n", "git", "-f", allowed,
                    "-I", os.fsdecode(principal.strip()), "-s", path, *at,
                ],
                payload,
            )  # fmt: skip
            if status == 0 and said.startswith(b"Good"):
                key = _ssh_key(said)
                return Signed(b"G", principal.strip(), key, key, b"", b"fully", said + told)
        return Signed(b"B", said=said + told)
    status, said, told = _run(
        [program, "-Y", "check-novalidate", "-n", "git", "-s", path, *at], payload
    )
    told = said + missed + told
    if status == 0 and said.startswith(b"Good"):
        key = _ssh_key(said)
        return Signed(b"U", b"", key, key, said=told)
    return Signed(b"B", said=told)


def _ssh_key(said: bytes) -> bytes:
    return said.splitlines()[0].rpartition(b" key ")[2].strip()


def _run(arguments: Sequence[str], stdin: bytes) -> tuple[int, bytes, bytes]:
    """Its status, its output, and what it said on standard error."""
    told: list[bytes] = []
    program = Coprocess(
        arguments,
        cwd=os.getcwd(),
        environ=os.environb,
        on_error_output=told.append,
        timeout=SECONDS,
    )
    try:
        said = b"".join(program.through([stdin]))
        return program.finish(), said, b"".join(told)
    finally:
        program.close()
