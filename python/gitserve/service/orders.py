"""Packs that one process of a server has another one make.

In: what a fetch has come to in the process that has its client. Out: the same pack, written to the
same client by the process where the packs of this repository are made, and what became of it. What
was learnt for one client, bitmaps, deltas, tables of the packs, then serves the next, whichever
process has that. Must not know how the processes speak to each other.
"""

from __future__ import annotations

import builtins
from contextlib import suppress

from gitserve import errors
from gitserve.errors import Busy, GitServeError, RepositoryError
from gitserve.record import TYPE_CHECKING, Protocol, Record
from gitserve.repository.locate import Location
from gitserve.repository.native import open_location
from gitserve.service.promisors import PromisedObjects
from gitserve.service.tally import Tally
from gitserve.session.effects import SendPack
from gitserve.session.failure import client_text
from gitserve.wire.malformed import Malformed

if TYPE_CHECKING:
    from gitserve.service.requests import ServiceOptions
    from gitserve.service.streams import Begun, Conversation


class Order(Record):
    """A pack to be made."""

    location: Location
    effect: SendPack
    common: tuple[bytes, ...] = ()
    """What the negotiation found."""
    hidden: tuple[bytes, ...] = ()
    """Refs that a policy hides from this client, as patterns."""


class Trouble(Record):
    """An exception on its way to another process."""

    kind: str
    """Its class, or the first above it that is one of :mod:`gitserve.errors`."""
    text: str
    wire: bytes | None = None

    @classmethod
    def of(cls, error: Exception) -> Trouble:
        """What goes."""
        if not isinstance(error, GitServeError):
            return cls("InternalError", f"{type(error).__name__}: {error}")
        known = next(one for one in type(error).__mro__ if one.__module__ == errors.__name__)
        wire = client_text(error) if isinstance(error, Malformed) else error.wire
        return cls(known.__name__, str(error), wire)

    @property
    def type(self) -> builtins.type[GitServeError]:
        """Of what arrives."""
        found: builtins.type[GitServeError] = getattr(errors, self.kind)
        return found

    def error(self) -> GitServeError:
        """What arrives."""
        return self.type(self.text, wire=self.wire)


class Outcome(Record):
    """What became of an order."""

    sent: int = 0
    """Bytes that went to the client."""
    is_cut: bool = False
    """And perhaps more: the client can be told nothing after that."""
    objects: int = 0
    pack_bytes: int = 0
    remembered: str = ""
    warnings: tuple[str, ...] = ()
    trouble: Trouble | None = None

    @property
    def may_be_tried_again(self) -> bool:
        """The client has heard nothing of it, and who ordered may have better luck: there is less
        to do, or what has been removed since is still open."""
        if self.sent or self.is_cut or self.trouble is None:
            return False
        return issubclass(self.trouble.type, (Busy, RepositoryError))


class Homes(Protocol):
    """Where packs are made."""

    def is_here(self, folder: str) -> bool:
        """Is the repository with its objects in this folder at home in this process?"""

    def make(self, order: Order, conversation: Conversation) -> Outcome | None:
        """Has another process do it.

        None: nobody is there, or has time. Nothing has been written then. Raises InternalError for
        a process that ended with the pack half made.
        """


def carry_out(
    order: Order, begun: Begun, conversation: Conversation, options: ServiceOptions
) -> Outcome:
    """Makes the pack here. If nothing can be sent of it, nothing is of what was begun.

    Raises nothing: who ordered tells the client and the log.
    """
    # each needs the other
    from gitserve.service.upload import UploadService

    tally = Tally()
    trouble: Trouble | None = None
    try:
        conversation.go_on(begun)
        repository = open_location(order.location)
        service = UploadService(
            repository, conversation, tally=tally, threads=options.threads,
            fetch_missing=PromisedObjects(repository, options.lazy_environ, tally).fetch,
            pack_cache=options.pack_cache, hidden=order.hidden, common=order.common,
        )  # fmt: skip
        try:
            for _ in service.send_pack(order.effect):
                pass
        finally:
            service.close()
        conversation.flush()
    except Exception as error:  # noqa: BLE001 - a bug of ours ends one request, as anywhere
        trouble = Trouble.of(error)
        # what was written before something went wrong is before what the client is told of it
        with suppress(GitServeError):
            if conversation.sent:
                conversation.flush()
    return Outcome(
        conversation.sent,
        conversation.is_cut,
        tally.objects,
        tally.pack_bytes,
        tally.remembered,
        tuple(tally.warnings),
        trouble,
    )
