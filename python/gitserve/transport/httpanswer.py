"""The answer to one HTTP request, while it is made.

In: bytes that a service writes. Out: what a WSGI server is given, by pulling (:class:`Answer`) or
through its ``write`` (:class:`Written`). Must not know what is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gitserve.errors import GitServeError, HangupError, PeerTimeout
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.transport.httpbody import Body
from gitserve.transport.httprequest import NO_CACHE, OK, Request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

    from gitserve.service.streams import Begun, Sendable
    from gitserve.transport.outbox import Outbox


class Direct(Protocol):
    """A server whose connection somebody else may answer on."""

    def head(self, status: str, headers: list[tuple[str, str]]) -> bytes:
        """What would begin the answer; empty if it has begun."""

    def has_begun(self) -> None:
        """Somebody else has sent it."""


class NoBody:
    """What a GET brings."""

    failure: GitServeError | None = None

    def read(self, _size: int, /) -> bytes:
        """Nothing."""
        return b""


@dataclass(slots=True)
class Exchange:
    """One request and its answer, for the log."""

    environ: Mapping[str, Any]
    start_response: StartResponse
    begun: float = field(default_factory=time.perf_counter)
    tally: Tally = field(default_factory=Tally)
    request: Request | None = None
    conversation: Conversation | None = None
    hidden: tuple[bytes, ...] = ()
    """Refs that the policy hides, as patterns."""
    status: str = ""
    result: str = "ok"

    def start(self, status: str, headers: list[tuple[str, str]]) -> Callable[[bytes], object]:
        """Begins the answer."""
        self.status = status
        return self.start_response(status, headers)


class PulledConversation(Conversation):
    """One whose answer is pulled, unless somebody else writes it to the connection."""

    __slots__ = ("_head", "_outbox", "is_let_go")

    def __init__(
        self, body: Body, outbox: Outbox, descriptor: int | None, head: Callable[[], bytes] | None
    ) -> None:
        """``head``: what goes before the answer where it does not go through the server; None where
        it has to."""
        # who ends his side of HTTP has gone: no client reads on, and other servers think so too
        super().__init__(body, outbox, descriptor, may_listen=False)
        self._head = head
        self._outbox = outbox
        if head is not None:
            self.direct = descriptor
        self.is_let_go = False
        """The answer has been begun, or more, by somebody else."""

    def let_go(self) -> Begun:
        """See :class:`~gitserve.service.streams.Conversation`."""
        begun = super().let_go()
        waiting = b"".join(self._outbox.take())
        self.sent -= len(waiting)
        head = b"" if self._head is None else self._head()
        self.is_let_go = True
        return begun.but(held=waiting + begun.held, head=head, may_listen=False)

    def take_back(self, begun: Begun) -> None:
        """See :class:`~gitserve.service.streams.Conversation`."""
        self.is_let_go = False
        super().take_back(begun)


class Answer:
    """The rest of an answer whose first piece is known; ends what makes it when it is given up."""

    __slots__ = ("_done", "_first", "_rest")

    def __init__(
        self, first: bytes, rest: Generator[bytes, None, None], done: Callable[[], None]
    ) -> None:
        """``done`` is called at the end, whichever it is."""
        self._first = first
        self._rest = rest
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        yield from self._rest

    def failed(self, error: GitServeError) -> Iterator[bytes]:
        """What was given last could not be read when it was sent, and zeros went in its place: what
        is to be said then."""
        with suppress(StopIteration):
            yield self._rest.throw(error)
            yield from self._rest

    def close(self) -> None:
        """PEP 3333: the server is done with it, or its client is gone."""
        self._rest.close()
        self._done()


class Written:
    """A sink on WSGI's ``write``; the answer begins with the first bytes."""

    __slots__ = ("_body", "_exchange", "_write")

    def __init__(self, exchange: Exchange, body: Body) -> None:
        self._exchange = exchange
        self._body = body
        self._write: Callable[[bytes], object] | None = None

    @property
    def begun(self) -> bool:
        """Is it too late for another status?"""
        return self._write is not None

    def begin(self) -> Callable[[bytes], object]:
        """The status and headers of an answer, if they are not out yet."""
        if self._write is None:
            headers = [*NO_CACHE, ("Content-Type", "application/x-git-receive-pack-result")]
            self._write = self._exchange.start(OK, headers)
        return self._write

    def write(self, data: Sendable, /) -> None:
        """See :class:`~gitserve.service.streams.ByteSink`."""
        if self._write is None and self._body.failure is not None:
            return  # the status tells it
        write = self.begin()
        try:
            write(bytes(data))
        except TimeoutError as error:
            raise PeerTimeout("the client took nothing for too long") from error
        except OSError as error:
            raise HangupError(HangupError.GONE) from error
