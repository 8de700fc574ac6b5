"""A push signed by who made it: its commands as lines of a text, with a signature below.

In: the lines between ``push-cert`` and ``push-cert-end``. Out: :class:`PushCertificate`. It must
not know whether the signature is good, nor whether the nonce is the one that was asked for.

Git's document: gitprotocol-pack, "Push Certificate".
"""

from __future__ import annotations

from collections.abc import Iterable

from gitserve.record import Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import chomp

BEGIN = b"push-cert"
END = b"push-cert-end"

SIGNATURES = (
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
)
"""How signatures of OpenPGP, X.509 and ssh begin."""


class PushCertificate(Record):
    """The text in its parts."""

    payload: bytes
    """What is signed, line feeds included."""
    signature: bytes
    """Empty when there is none."""
    nonce: bytes | None
    pusher: bytes | None
    """Name, address and time of who signed."""
    push_options: tuple[bytes, ...]
    command_lines: tuple[bytes, ...]

    @property
    def text(self) -> bytes:
        """All of it, as it is kept."""
        return self.payload + self.signature


def parse(lines: Iterable[bytes]) -> PushCertificate:
    """Raises :class:`Malformed`. Every line must have its line feed."""
    payload: list[bytes] = []
    signature: list[bytes] = []
    for line in lines:
        if not line.endswith(b"\n"):
            raise Malformed(f"protocol error: unended line in push certificate: {quoted(line)}")
        if signature or line.startswith(SIGNATURES):
            signature.append(line)
        else:
            payload.append(line)
    fields: dict[bytes, bytes] = {}
    options: list[bytes] = []
    below = len(payload)
    for at, line in enumerate(payload):
        if line == b"\n":
            below = at + 1
            break
        key, _, value = chomp(line).partition(b" ")
        if key == b"push-option":
            options.append(value)
        else:
            fields.setdefault(key, value)
    return PushCertificate(
        payload=b"".join(payload),
        signature=b"".join(signature),
        nonce=fields.get(b"nonce"),
        pusher=fields.get(b"pusher"),
        push_options=tuple(options),
        command_lines=tuple([chomp(line) for line in payload[below:]]),
    )
