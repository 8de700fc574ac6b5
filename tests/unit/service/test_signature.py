"""What GnuPG says of signatures."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitserve.repository.config import Config
from gitserve.service import signature


def told(monkeypatch: pytest.MonkeyPatch, *lines: bytes) -> signature.Signed:
    said = b"".join([b"[GNUPG:] %b\n" % line for line in lines])
    monkeypatch.setattr(signature, "_run", lambda *_: (0, said, b"words"))
    return signature._by_gnupg(b"text", "file", Config([]), "openpgp")


def test_one(monkeypatch: pytest.MonkeyPatch) -> None:
    known = told(monkeypatch, b"GOODSIG 0123 A U Thor", b"TRUST_ULTIMATE 0 pgp")
    assert (known.letter, known.signer, known.key) == (b"G", b"A U Thor", b"0123")
    assert (known.trust, known.said) == (b"ultimate", b"words")


def test_two_are_nobody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    known = told(monkeypatch, b"BADSIG 0123 A U Thor", b"GOODSIG 4567 Mallory")
    assert known == signature.Signed(b"E", said=b"words")


def test_what_is_said_beside_the_status_is_no_verdict(tmp_path: Path) -> None:
    """A user id, a file name, a translation: what is printed for people may look like anything."""
    program = tmp_path / "gpg"
    program.write_text(
        "#!/bin/sh\n"
        "echo '[GNUPG:] GOODSIG 4567 Mallory' >&2\n"
        "echo '[GNUPG:] BADSIG 0123 A U Thor'\n"
        "echo '[GNUPG:] TRUST_ULTIMATE 0 pgp' >&2\n"
    )
    program.chmod(0o755)
    config = Config([("gpg.program", str(program), "", 0)])
    known = signature.verify(b"text", b"-----BEGIN PGP SIGNATURE-----\n", config, None)
    assert (known.letter, known.signer, known.key) == (b"B", b"A U Thor", b"0123")
