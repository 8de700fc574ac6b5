"""What a person at the client's end reads as ``remote:`` lines.

In: text of ours or of hooks. Out: packets of band 2 while there are bands, else the process's own
standard error where the road has one. Git's document: gitprotocol-pack, "Packfile Data".
"""

from __future__ import annotations

from collections.abc import Callable

from gitserve.errors import PeerError
from gitserve.service.streams import Conversation
from gitserve.session.effects import Framing
from gitserve.wire import sideband
from gitserve.wire.sideband import Band

Aside = Callable[[bytes], None]
"""Takes text that no band can carry."""


def nowhere(_text: bytes, /) -> None:
    """Where such text goes when nobody is there to read it."""


class Remarks:
    """Writes at once: a person waits for them."""

    __slots__ = ("_aside", "_conversation", "_deaf", "_limit")

    def __init__(
        self, conversation: Conversation, framing: Framing, aside: Aside = nowhere
    ) -> None:
        self._conversation = conversation
        self._limit = framing.value
        self._aside = aside
        self._deaf = False

    def say(self, text: bytes) -> None:
        """As it is; a hook's output in whatever pieces it comes."""
        if not self._limit:
            self._aside(text)
            return
        self._conversation.write(sideband.encode(Band.PROGRESS, text, self._limit))
        self._conversation.flush()

    def say_if_heard(self, text: bytes) -> None:
        """As :meth:`say`, but a client that is gone stops nothing."""
        if self._deaf:
            return
        try:
            self.say(text)
        except PeerError:
            self._deaf = True

    def error(self, text: bytes) -> None:
        """A refusal, explained."""
        self.say(b"error: " + text + b"\n")

    def warning(self, text: bytes) -> None:
        """Something done all the same."""
        self.say(b"warning: " + text + b"\n")

    def keep_alive(self) -> None:
        """An empty packet: nothing to read, but the line is not dead."""
        if self._limit:
            self._conversation.write(b"0005\x01")
            self._conversation.flush()
