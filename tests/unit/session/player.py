"""Plays a session against bytes: the driver of the real server, with everything visible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gitserve.session.effects import (
    AdvertiseRefs,
    Agreed,
    Dialogue,
    Effect,
    Flush,
    ListRefs,
    Read,
    Send,
    SendPack,
)
from gitserve.wire.pktline import DELIM, FLUSH, PktDecoder, encode

Perform = Callable[[Effect], Any]

WRITES = (AdvertiseRefs, ListRefs, SendPack)
"""Effects whose performance writes: a performer returns the bytes."""


@dataclass
class Played:
    """What a dialogue did."""

    sent: bytes = b""
    left: bytes = b""
    """Of ``sent``, what a client would have seen before the end."""
    effects: list[Effect] = field(default_factory=list)
    """Other than reads and writes."""
    error: BaseException | None = None
    rest: bytes = b""
    """Input that was not read as packets."""
    waiting: bool = False
    """It wants more input than there was."""

    def only(self, kind: type[Any]) -> Any:
        """The one effect of a kind."""
        (found,) = [effect for effect in self.effects if isinstance(effect, kind)]
        return found


def play(
    dialogue: Dialogue,
    pieces: bytes | Iterable[bytes],
    perform: Perform,
    *,
    ends: bool = True,
) -> Played:
    """Feeds the pieces as reads of a socket; ``ends``: and then the end of input."""
    played = Played()
    decoder = PktDecoder()
    arriving = iter([pieces] if isinstance(pieces, bytes) else pieces)
    reply: Any = None
    thrown: Exception | None = None
    try:
        while True:
            effect = dialogue.send(reply) if thrown is None else dialogue.throw(thrown)
            reply = thrown = None
            try:
                if isinstance(effect, Read):
                    while (reply := decoder.take_run()) is None:
                        piece = next(arriving, None)
                        if piece is None:
                            if not ends:
                                played.waiting = True
                                dialogue.close()
                                return played
                            decoder.finish()
                            break
                        decoder.feed(piece)
                elif isinstance(effect, Send):
                    played.sent += effect.data
                elif isinstance(effect, Agreed):
                    pass
                elif isinstance(effect, Flush):
                    played.left = played.sent
                else:
                    played.effects.append(effect)
                    reply = perform(effect)
                    if isinstance(effect, WRITES):
                        played.sent += reply
                        reply = None
            except Exception as error:  # noqa: BLE001  # whatever it is, the session hears of it
                thrown = error
    except StopIteration:
        pass
    except Exception as error:  # noqa: BLE001  # what a test looks at
        played.error = error
    played.rest = decoder.take_rest()
    if isinstance(pieces, bytes | list):
        played.rest += b"".join(arriving)
    return played


def pkts(*items: Any) -> bytes:
    """Payloads as packets; ``None`` is a flush, ``...`` a delimiter."""
    out = []
    for item in items:
        if item is None:
            out.append(FLUSH.value)
        elif item is ...:
            out.append(DELIM.value)
        else:
            out.append(encode(item.encode() if isinstance(item, str) else item))
    return b"".join(out)


def unpkts(data: bytes) -> list[Any]:
    """Packets of an answer, the other way round; raw bytes at its end come as one last item."""
    items: list[Any] = []
    while data:
        if data[:4] == b"PACK":
            items.append(data)
            break
        packet = PktDecoder(data).next()
        if isinstance(packet, bytes):
            items.append(packet)
            data = data[4 + len(packet) :]
        else:
            items.append(None if packet is FLUSH else ... if packet is DELIM else packet)
            data = data[4:]
    return items
