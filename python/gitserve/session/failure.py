"""What a client is told when something goes wrong: the only place that decides it.

In: an exception, and where the dialogue stands. Out: the effects that tell the client, nothing
internal among them. It must not know what was being done.
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum

from gitserve.errors import (
    Cancelled,
    GitServeError,
    HangupError,
    NoRepository,
    PackError,
    PeerTimeout,
    Refused,
    RepositoryError,
)
from gitserve.record import TYPE_CHECKING
from gitserve.session.effects import Effect, Flush, Framing, Send
from gitserve.wire import error_line, sideband
from gitserve.wire.malformed import Malformed
from gitserve.wire.sideband import Band

if TYPE_CHECKING:
    from typing import Any

INTERNAL = b"internal server error"

_BY_ROOT: tuple[tuple[type[GitServeError], bytes], ...] = (
    (HangupError, b"the remote end hung up unexpectedly"),
    (PeerTimeout, b"timed out waiting for the client"),
    (PackError, b"index-pack abnormal exit"),
    (Refused, b"refused by the server"),
    (Cancelled, b"request cancelled by the server"),
    (NoRepository, b"repository not found"),
    (RepositoryError, b"the repository is damaged or unreadable on the server"),
)


class Place(Enum):
    """Where in the stream a reason can go."""

    LINE = "line"
    """Between packets: an ``ERR`` line."""
    BAND = "band"
    """Inside a side-band: its third band."""
    NOWHERE = "nowhere"
    """Inside raw bytes, or where the client reads no more."""


class Outlet:
    """How an error would reach the client now; the session moves it as the dialogue goes on."""

    __slots__ = ("framing", "place")

    def __init__(self) -> None:
        self.place = Place.LINE
        self.framing = Framing.SIDE_BAND_64K

    def into_band(self, framing: Framing) -> None:
        """From here on the client demultiplexes, or reads raw bytes when there is no band."""
        self.framing = framing
        self.place = Place.NOWHERE if framing is Framing.NONE else Place.BAND

    def back_to_lines(self) -> None:
        """The side-band has ended, and the dialogue goes on."""
        self.place = Place.LINE

    def close(self) -> None:
        """From here on the client hears nothing."""
        self.place = Place.NOWHERE


def client_text(error: BaseException) -> bytes:
    """What may be said of it."""
    if isinstance(error, GitServeError):
        if error.wire is not None:
            return error_line.one_line(error.wire)
        if isinstance(error, Malformed):
            # Written for the peer, and quoting nothing but the peer.
            return error_line.one_line(str(error).encode("utf-8", "replace"))
        for root, text in _BY_ROOT:
            if isinstance(error, root):
                return text
    return INTERNAL


def tell(error: BaseException, outlet: Outlet) -> Generator[Effect, Any, None]:
    """Says so to the client, where it can be said; the caller raises the error again."""
    if outlet.place is Place.NOWHERE:
        return
    text = client_text(error)
    if outlet.place is Place.BAND:
        data = sideband.encode(Band.ERROR, text + b"\n", outlet.framing.value)
    else:
        data = error_line.format(text)
    outlet.close()
    try:
        yield Send(data)
        yield Flush()
    except GitServeError:
        # A client that is gone cannot be told; what ended the dialogue is the first error.
        return
