"""Nonces of signed pushes."""

from __future__ import annotations

import pytest
from gitserve.service.nonce import Verdict, judge, make

SEED, PLACE, NOW = "secret", b"/srv/project.git", 1_700_000_000
ASKED = make(SEED, PLACE, NOW)
OLDER = make(SEED, PLACE, NOW - 20)


@pytest.mark.parametrize(
    ("got", "stateless", "slop", "verdict"),
    [
        (ASKED, False, 0, Verdict(b"OK", ASKED)),
        (None, False, 0, Verdict(b"MISSING", ASKED)),
        # a server that keeps the connection knows what it has just asked for
        (OLDER, False, 100, Verdict(b"BAD", ASKED)),
        (OLDER, True, 100, Verdict(b"OK", OLDER)),
        (OLDER, True, 20, Verdict(b"OK", OLDER)),
        (OLDER, True, 19, Verdict(b"SLOP", ASKED, 20)),
        # made without the secret, or for another repository
        (make("guess", PLACE, NOW), True, 100, Verdict(b"BAD", ASKED)),
        (make(SEED, b"/srv/other.git", NOW), True, 100, Verdict(b"BAD", ASKED)),
        (b"", True, 100, Verdict(b"BAD", ASKED)),
        (b"-", True, 100, Verdict(b"BAD", ASKED)),
        (b"9" * 5000 + b"-x", True, 100, Verdict(b"BAD", ASKED)),
    ],
)
def test_verdicts(got: bytes | None, stateless: bool, slop: int, verdict: Verdict) -> None:
    assert judge(SEED, PLACE, ASKED, got, stateless=stateless, slop=slop) == verdict
