"""A push certificate as hooks get to know it.

In: the certificate, the nonce that was asked for, the blob that the text has become. Out: the
environment variables of git-receive-pack(1), "PRE-RECEIVE HOOK". Decides nothing: whether an
unsigned or wrongly signed push is welcome is for a hook to say.
"""

from __future__ import annotations

import os

from gitserve.record import TYPE_CHECKING, Record
from gitserve.repository.native import NativeRepository
from gitserve.service import nonce
from gitserve.service.signature import verify
from gitserve.wire.push_certificate import PushCertificate

if TYPE_CHECKING:
    from collections.abc import Mapping


class SignedPush(Record):
    """What came with a push."""

    certificate: PushCertificate
    nonce_asked: bytes
    stateless: bool


def hook_variables(
    repository: NativeRepository, signed: SignedPush, blob: bytes
) -> Mapping[bytes, bytes]:
    """``GIT_PUSH_CERT`` and its kin."""
    config = repository.config
    certificate = signed.certificate
    known = verify(certificate.payload, certificate.signature, config, _time_of(certificate.pusher))
    variables = {
        b"GIT_PUSH_CERT": blob,
        b"GIT_PUSH_CERT_SIGNER": known.signer,
        b"GIT_PUSH_CERT_KEY": known.key,
        b"GIT_PUSH_CERT_STATUS": known.letter,
    }
    seed = config.get("receive.certnonceseed")
    if not seed:
        return variables | {b"GIT_PUSH_CERT_NONCE_STATUS": b"UNSOLICITED"}
    verdict = nonce.judge(
        seed,
        os.fsencode(repository.git_dir),
        signed.nonce_asked,
        certificate.nonce,
        stateless=signed.stateless,
        slop=config.get_int("receive.certnonceslop"),
    )
    variables[b"GIT_PUSH_CERT_NONCE_STATUS"] = verdict.status
    if verdict.nonce is not None:
        variables[b"GIT_PUSH_CERT_NONCE"] = verdict.nonce
    if verdict.slop is not None:
        variables[b"GIT_PUSH_CERT_NONCE_SLOP"] = b"%d" % verdict.slop
    return variables


def _time_of(pusher: bytes | None) -> int | None:
    stamp = (pusher or b"").rpartition(b"> ")[2].split(b" ")[0]
    return int(stamp) if stamp.isdigit() and len(stamp) <= 12 else None
