"""Keeps a client's connection from being thought dead while the core works for it.

In: how often, and the way to the client. Out: empty packets, for as long as a block runs that says
nothing itself. Implements ``receive.keepAlive`` of git-config(1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gitserve.errors import PeerError
from gitserve.service.remarks import Remarks

MIN_OBJECTS = 2_000
"""Fewer are through long before anybody waits, and a thread costs more than their work."""


@contextmanager
def kept_alive(remarks: Remarks, seconds: float, objects: int) -> Iterator[None]:
    """Around work on so many objects in which nothing else is written. 0 seconds: never."""
    if not seconds or objects < MIN_OBJECTS:
        yield
        return
    import threading

    over = threading.Event()

    def beat() -> None:
        while not over.wait(seconds):
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
