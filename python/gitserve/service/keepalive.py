"""Keeps a client's connection from being thought dead while the core works for it.

In: how often, and the way to the client. Out: empty packets, for as long as a block runs that says
nothing itself. Implements ``receive.keepAlive`` of git-config(1). A client that has ended its side
gets one at once: the kernel tells then whether anybody reads there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gitserve._core import Client
from gitserve.errors import PeerError
from gitserve.service.remarks import Remarks
from gitserve.service.streams import Conversation

MIN_OBJECTS = 2_000
"""Fewer are through long before anybody waits, and a thread costs more than their work."""

LOOK = 0.05
"""Seconds between two looks at the client."""

EMPTY = b"0005\x01"
"""A packet of a band with nothing in it."""


class Waiting:
    """Looks whether anybody waits for an answer in bands that has begun."""

    __slots__ = ("_asked", "_client", "_conversation", "_next")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        client = conversation.client
        self._client = None if client is None else client.spoken_to()
        self._next = time.monotonic() + LOOK
        self._asked = False

    def look(self) -> None:
        """Raises HangupError if not. To be called often by whoever works and writes little."""
        client, now = self._client, time.monotonic()
        if client is None or now < self._next:
            return
        self._next = now + LOOK
        if not self._asked and client.has_ended():
            self._asked = True
            self._conversation.write(EMPTY)
            self._conversation.flush()
        client.look()


@contextmanager
def kept_alive(
    remarks: Remarks, seconds: float, objects: int, client: Client | None = None
) -> Iterator[None]:
    """Around work on so many objects in which nothing else is written. 0 seconds: never.

    A ``client`` that has ended its side is spoken to at once: the kernel tells then whether anybody
    reads there, and the work, which looks, ends if not.
    """
    if not seconds or objects < MIN_OBJECTS:
        yield
        return
    import threading

    over = threading.Event()
    pause = seconds if client is None else min(seconds, LOOK)

    def beat() -> None:
        silent, asked = 0.0, client is None
        while not over.wait(pause):
            silent += pause
            ended = not asked and client is not None and client.has_ended()
            if silent < seconds and not ended:
                continue
            silent, asked = 0.0, asked or ended
            try:
                remarks.keep_alive()
            except PeerError:
                return  # whoever writes next will notice

    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
