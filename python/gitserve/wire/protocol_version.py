"""Which version of the protocol the client asks for.

In: the parameters of ``GIT_PROTOCOL``, the ``Git-Protocol`` header or a git:// request. Out: 0, 1
or 2. What a server does not know it ignores.

Git's document: gitprotocol-v2, "Initial Client Request"; git, environment variable GIT_PROTOCOL.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Final

VERSION_1: Final = b"000eversion 1\n"
"""The packet by which a server says, in front of its advertisement, that it speaks version 1."""

_KNOWN: Final = {b"version=0": 0, b"version=1": 1, b"version=2": 2}


def split_parameters(value: bytes) -> tuple[bytes, ...]:
    """The colon-separated parameters of ``GIT_PROTOCOL`` or ``Git-Protocol``."""
    return tuple(value.split(b":")) if value else ()


def requested_version(parameters: Iterable[bytes]) -> int:
    """The highest version asked for that there is; 0 when none is."""
    version = 0
    for parameter in parameters:
        known = _KNOWN.get(parameter, 0)
        if known > version:
            version = known
    return version
