"""Pipes as what services read and write.

In: two file descriptors. Out: bytes, or the peer's fault as PeerTimeout or HangupError. Apart from
sockets, because whoever is started for one request does not import what it does not need.
"""

from __future__ import annotations

import os
import select

from gitserve.errors import HangupError, PeerTimeout
from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable


class PipeStream:
    """Two descriptors, mostly standard input and output."""

    __slots__ = ("_in", "_out", "_timeout")

    def __init__(self, source: int, sink: int, timeout: float = 0.0) -> None:
        """``timeout``: seconds for each read and each piece written; 0 for ever."""
        self._in = source
        self._out = sink
        self._timeout = timeout

    def fileno(self) -> int:
        """The descriptor that is written to."""
        return self._out

    def read(self, size: int, /) -> bytes:
        """See :class:`~gitserve.service.streams.ByteSource`."""
        try:
            while True:
                if self._timeout:
                    self._wait(self._in, select.POLLIN)
                try:
                    return os.read(self._in, size)
                except BlockingIOError:  # whoever made the pipe reads it without waiting
                    self._wait(self._in, select.POLLIN)
        except OSError as error:
            raise HangupError(HangupError.GONE) from error

    def write(self, data: Sendable, /) -> None:
        """See :class:`~gitserve.service.streams.ByteSink`."""
        left = memoryview(data)
        # a pipe that can be written takes this much at once; more would block without a limit
        piece = select.PIPE_BUF if self._timeout else len(data)
        try:
            while left:
                if self._timeout:
                    self._wait(self._out, select.POLLOUT)
                try:
                    left = left[os.write(self._out, left[:piece]) :]
                except BlockingIOError:
                    self._wait(self._out, select.POLLOUT)
        except OSError as error:
            raise HangupError(HangupError.GONE) from error

    def expect_within(self, seconds: float) -> None:
        """Nothing: whoever started us for one client looks after its time."""

    def drain(self) -> None:
        """Nothing: a pipe keeps what was written."""

    def _wait(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(self._timeout * 1000 if self._timeout else None):
            raise PeerTimeout("the client did nothing for too long")
