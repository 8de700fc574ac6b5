"""What a client's dialogue asks of the world, as values.

In: nothing. Out: the vocabulary between the dialogues, which decide, and :mod:`.driver`, which
performs. A dialogue is a generator that yields effects and is sent each effect's reply; it must not
know sockets, processes or files. What cannot be performed, and an ``ERR`` line of the server, ends
it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class ReadPacket:
    """The next packet. Reply: payload or marker; ``None`` at a clean end."""


@dataclass(frozen=True, slots=True)
class ReadSection:
    """All lines up to a marker. Reply: the lines and the marker.

    Raises HangupError when the input ends before the marker.
    """


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes, already framed. Reply: ``None``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndRequest:
    """The server has all it needs to answer. Reply: ``None``.

    Where each request stands alone, what follows is another one.
    """


@dataclass(frozen=True, slots=True)
class SendPack:
    """Stream the pack of a push. Reply: ``None``."""


@dataclass(frozen=True, slots=True)
class TakePack:
    """Read the pack of a fetch, and hand it to whoever wants it. Reply: ``None``."""

    banded: bool
    """In bands up to a flush; else raw up to the end."""


@dataclass(frozen=True, slots=True)
class TakeReport:
    """Read all of band 1 up to the flush or the end. Reply: its bytes."""


@dataclass(frozen=True, slots=True)
class TakeArchive:
    """Read all of band 1 up to the flush, and hand it to whoever wants it. Reply: ``None``."""


Effect = (
    ReadPacket | ReadSection | Send | EndRequest | SendPack | TakePack | TakeReport | TakeArchive
)

T = TypeVar("T")

# Replies are Any for the dialogues' sake, as in gitserve.session.effects.
Dialogue = Generator[Effect, Any, T]
