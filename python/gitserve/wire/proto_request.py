r"""The first packet of git://: which service, on which repository, of which host.

In: the payload, ``git-upload-pack /project.git\0host=myserver.com\0\0version=2\0``. Out:
:class:`ProtoRequest`. It must not know which services exist nor where repositories are.

Git's document: gitprotocol-pack, "Git Transport".
"""

from __future__ import annotations

from functools import lru_cache

from gitserve.record import Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.protocol_version import requested_version

MAX_REMEMBERED = 256
"""A busy server is asked for the same few repositories, by the same name, again and again."""

MAX_REMEMBERED_SIZE = 256
"""Bytes: clients choose them."""


class ProtoRequest(Record):
    """A service on a repository. Nothing here has been checked against anything."""

    service: bytes
    """As sent, like ``git-upload-pack``."""
    path: bytes
    host: bytes | None = None
    """As sent, perhaps with a port: ``example.org``, ``example.org:9418``, ``[::1]:9418``."""
    parameters: tuple[bytes, ...] = ()
    """Extra parameters, like ``version=2``."""

    @property
    def version(self) -> int:
        """The protocol version to speak."""
        return requested_version(self.parameters)


def parse(payload: bytes) -> ProtoRequest:
    """Raises :class:`Malformed`."""
    return _remembered(payload) if len(payload) <= MAX_REMEMBERED_SIZE else _parse(payload)


@lru_cache(MAX_REMEMBERED)
def _remembered(payload: bytes) -> ProtoRequest:
    return _parse(payload)


def _parse(payload: bytes) -> ProtoRequest:
    command, nul, rest = payload.partition(b"\0")
    service, blank, path = command.removesuffix(b"\n").partition(b" ")
    if not blank or not service or not path:
        raise Malformed(f"invalid request: '{quoted(command)}'")
    host: bytes | None = None
    parameters: tuple[bytes, ...] = ()
    if nul:
        if rest[:1] not in (b"\0", b""):
            first, _, rest = rest.partition(b"\0")
            if first[:5].lower() != b"host=":
                raise Malformed(f"invalid request: expected host, got '{quoted(first)}'")
            host = first[5:]
        # The extra parameters begin with a NUL of their own.
        if rest[:1] == b"\0":
            parameters = tuple([word for word in rest[1:].split(b"\0") if word])
    return ProtoRequest(service, path, host, parameters)


def format(request: ProtoRequest) -> bytes:
    """The payload."""
    payload = b"%b %b\0" % (request.service, request.path)
    if request.host is not None:
        payload += b"host=%b\0" % request.host
    if request.parameters:
        payload += b"\0" + b"".join([word + b"\0" for word in request.parameters])
    return payload
