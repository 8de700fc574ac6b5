"""The dialogue of ``git archive --remote``.

In: the arguments. Out: effects; the archive goes to whoever wants it.

Git's document: git-upload-archive(1).
"""

from __future__ import annotations

from collections.abc import Sequence

from gitserve.clients.effects import Dialogue, EndRequest, ReadPacket, Send, TakeArchive
from gitserve.clients.failure import RemoteError
from gitserve.errors import HangupError
from gitserve.wire import archive_request
from gitserve.wire.archive_request import ACK, NACK
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import FLUSH, Packet, chomp


def archive(arguments: Sequence[bytes]) -> Dialogue[None]:
    """Raises :class:`RemoteError` when the server declines."""
    yield Send(archive_request.format(arguments))
    yield EndRequest()
    packet: Packet | None = yield ReadPacket()
    if packet is None:
        raise HangupError("the server hung up instead of an archive")
    if not isinstance(packet, bytes):
        raise Malformed("expected ACK/NACK, got a marker")
    word, _, rest = chomp(packet).partition(b" ")
    if word == NACK:
        raise RemoteError(f"the server declines: {quoted(rest)}")
    if word != ACK:
        raise Malformed(f"expected ACK/NACK, got '{quoted(packet)}'")
    if (yield ReadPacket()) is not FLUSH:
        raise Malformed("expected flush behind ACK")
    yield TakeArchive()
