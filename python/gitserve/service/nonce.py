"""Nonces of signed pushes: a certificate that was made for one push is good for no other.

In: the repository's secret, the time. Out: a nonce to ask for, and what is to be said of one that
came back. A nonce is a time and a code that only who knows the secret can make of it, so that a
stateless server knows its own again. Implements ``receive.certNonceSeed`` and
``receive.certNonceSlop`` of git-config(1).
"""

from __future__ import annotations

import hmac

from gitserve.record import Record


class Verdict(Record):
    """As hooks are told (git-receive-pack(1), "PRE-RECEIVE HOOK")."""

    status: bytes
    nonce: bytes | None = None
    """What was asked for, or one of another session that counts as well."""
    slop: int | None = None
    """Seconds between both."""


def make(seed: str, git_dir: bytes, now: int) -> bytes:
    """To be signed within a push that begins now."""
    return b"%d-%b" % (now, _code(seed, git_dir, now))


def judge(
    seed: str, git_dir: bytes, asked: bytes, got: bytes | None, *, stateless: bool, slop: int
) -> Verdict:
    """``slop``: seconds that two sessions may be apart; ``stateless``: they are always two."""
    if got is None:
        return Verdict(b"MISSING", asked)
    if hmac.compare_digest(got, asked):
        return Verdict(b"OK", asked)
    if not stateless:
        return Verdict(b"BAD", asked)  # it has just been told, so that it is another's
    stamp, dash, code = got.partition(b"-")
    if not dash or not stamp.isdigit() or len(stamp) > 18:
        return Verdict(b"BAD", asked)
    if not hmac.compare_digest(code, _code(seed, git_dir, int(stamp))):
        return Verdict(b"BAD", asked)
    apart = int(asked.partition(b"-")[0]) - int(stamp)
    if abs(apart) <= slop:
        return Verdict(b"OK", got)
    return Verdict(b"SLOP", asked, apart)


def _code(seed: str, git_dir: bytes, stamp: int) -> bytes:
    key = seed.encode("utf-8", "surrogateescape")
    return hmac.digest(key, b"%b:%d" % (git_dir, stamp), "sha256").hex().encode()[:40]
