"""What a client of upload-archive asks for: the arguments of ``git archive``, one a line.

In: the lines up to the flush. Out: the arguments; and back. It must not know what they mean.

Git's document: git-upload-archive(1); the lines are as ``git archive --remote`` sends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitserve.record import TYPE_CHECKING
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import FLUSH_PKT, chomp, encode

if TYPE_CHECKING:
    from typing import Final

ACK: Final = b"ACK"
"""The archive follows in band 1."""

NACK: Final = b"NACK"
"""There will be none; a reason may follow."""

_ARGUMENT: Final = b"argument "


def parse(lines: Iterable[bytes]) -> tuple[bytes, ...]:
    """Raises :class:`Malformed`."""
    arguments: list[bytes] = []
    for raw in lines:
        line = chomp(raw)
        if line[:9] != _ARGUMENT:
            raise Malformed(f"'argument' token or flush expected, got '{quoted(line)}'")
        arguments.append(line[9:])
    return tuple(arguments)


def format(arguments: Sequence[bytes]) -> bytes:
    """The pkt-lines, flush included."""
    packets = [encode(_ARGUMENT + argument + b"\n") for argument in arguments]
    return b"".join([*packets, FLUSH_PKT])
