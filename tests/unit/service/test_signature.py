"""What GnuPG says of signatures."""

from __future__ import annotations

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
