"""The workers of a server as homes of repositories.

In: orders of one worker. Out: packs, made by the worker where the repository is at home and written
to the client of the one that ordered. A connection goes to whichever worker takes it first; without
homes each of them would build the same tables, search for the same deltas and remember the same
bitmaps as all others.

A worker has a mailbox. Who orders puts one end of a new pair of sockets into it; once the home says
that it is there it gets the client's descriptor and the order, and says in the end what became of
it. Until then it has nothing of the client's, so who waits too long can do it himself. A home that
has large requests waiting in line says nothing: the others are not to wait behind it.

All of them are processes of one program and one user, forked with these sockets, which have no name
that another could use: what they say to each other is trusted.
"""

from __future__ import annotations

import os
import pickle  # between our own processes
import socket
from array import array
from contextlib import nullcontext, suppress
from zlib import crc32

from gitserve.errors import Busy, InternalError
from gitserve.record import TYPE_CHECKING
from gitserve.service.orders import Order, Outcome, Trouble, carry_out
from gitserve.service.sharing import is_full
from gitserve.service.streams import Begun, Conversation
from gitserve.transport.pool import Connection
from gitserve.transport.streams import SocketStream

if TYPE_CHECKING:
    from gitserve.service.requests import ServiceOptions

NEIGHBOURS = 8
"""Workers that share homes. With more of them a repository has several, one among each so many:
the interpreter runs one thread of a process at a time, and an eighth of a request for a few commits
is the interpreter's at most."""

PATIENCE = 1.0
"""Seconds for a home to say that it is there."""

THERE = b"+"

_NOT_FOR_PROGRAMS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
"""Descriptors that come are not inherited by hooks."""


class Homes:
    """All homes, as one worker sees them; made before the workers are."""

    def __init__(self, workers: int) -> None:
        self._boxes = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]
        self._own: int | None = None

    def move_in(self, number: int) -> Mailbox:
        """From now on this process is the worker of this number; where its orders come."""
        self._own = number
        return Mailbox(self._boxes[number][0])

    def move_out(self) -> None:
        """This worker orders nothing more: the others may end before it does."""
        self._own = None

    def close(self) -> None:
        """Nobody orders any more."""
        for pair in self._boxes:
            for box in pair:
                with suppress(OSError):
                    box.shutdown(socket.SHUT_RDWR)  # wakes who waits there
                box.close()

    def of(self, folder: str) -> int:
        """The worker where the repository in this folder is at home, for this one."""
        own = self._own or 0
        first = own - own % NEIGHBOURS
        return first + crc32(os.fsencode(folder)) % min(NEIGHBOURS, len(self._boxes) - first)

    def is_here(self, folder: str) -> bool:
        """See :class:`gitserve.service.orders.Homes`."""
        return self._own is None or self.of(folder) == self._own

    def make(self, order: Order, conversation: Conversation) -> Outcome | None:
        """See :class:`gitserve.service.orders.Homes`."""
        client = conversation.direct
        if client is None:
            return None
        ours = self._called(self.of(order.location.common_dir))
        if ours is None:
            return None
        with ours:
            try:
                _put(ours, client)
            except OSError:  # too many descriptors are on their way
                return None
            return _asked(ours, client, order, conversation)

    def _called(self, home: int) -> socket.socket | None:
        """The way to a home that is there and has time."""
        try:
            ours, theirs = socket.socketpair()
        except OSError:  # there are no descriptors left
            return None
        try:
            with theirs:
                _put(self._boxes[home][1], theirs.fileno())
            ours.settimeout(PATIENCE)
            if ours.recv(1) == THERE:
                ours.settimeout(None)
                return ours
        except OSError:  # its box is full, or it is not there in time
            pass
        ours.close()
        return None


def _asked(ours: socket.socket, client: int, order: Order, conversation: Conversation) -> Outcome:
    begun = conversation.let_go()
    try:
        with ours.makefile("rwb") as file:
            pickle.dump((order, begun), file)
            file.flush()
            outcome: Outcome = pickle.load(file)  # noqa: S301 - see the module
    except Exception as error:
        # it may have ended within a packet, behind which nothing can be said
        with suppress(OSError), socket.socket(fileno=os.dup(client)) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        conversation.cut()
        raise InternalError("the process that made the pack has ended") from error
    conversation.sent += max(0, outcome.sent - len(begun.head))
    if outcome.is_cut:
        conversation.cut()
    elif not outcome.sent:
        conversation.take_back(begun)
    return outcome


# Not socket.send_fds and recv_fds: in Python 3.11 these forget the flags they are given.


def _put(box: socket.socket, descriptor: int) -> None:
    """Raises BlockingIOError when the box is full."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))
    box.sendmsg([THERE], [rights], socket.MSG_DONTWAIT)


def _taken(box: socket.socket) -> socket.socket:
    """What was put in next; waits for it. Raises OSError where nothing is."""
    found = array("i")
    room = socket.CMSG_LEN(found.itemsize)
    for level, kind, content in box.recvmsg(len(THERE), room, _NOT_FOR_PROGRAMS)[1]:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) // found.itemsize * found.itemsize])
    if len(found) != 1:  # there was no room for another descriptor, or nobody is there any more
        raise OSError("nothing came with it")
    return socket.socket(fileno=found[0])


class Mailbox:
    """What a :class:`~gitserve.transport.pool.Pool` waits at for orders."""

    def __init__(self, box: socket.socket) -> None:
        self._box = box

    def fileno(self) -> int:
        """As a socket's."""
        return self._box.fileno()

    def accept(self) -> tuple[socket.socket, None]:
        """The way back to who orders."""
        return _taken(self._box), None


def serve_order(connection: Connection, options: ServiceOptions, timeout: float) -> None:
    """One order, from a mailbox to its outcome. Raises nothing that is not a bug.

    ``timeout``: seconds for each piece written to the client; he has them already.
    """
    if is_full():
        return
    connection.asked = True  # who hears that we are there counts on us
    # who ordered may have given up by now, or end before he hears what became of it
    with suppress(OSError, EOFError, pickle.UnpicklingError):
        connection.socket.sendall(THERE)
        client: socket.socket | None = None
        with suppress(OSError):  # there is no room for another descriptor
            client = _taken(connection.socket)
        with client or nullcontext(), connection.socket.makefile("rwb") as file:
            order, begun = pickle.load(file)  # noqa: S301 - see the module
            pickle.dump(_outcome(client, order, begun, options, timeout), file)
            file.flush()


def _outcome(
    client: socket.socket | None,
    order: Order,
    begun: Begun,
    options: ServiceOptions,
    timeout: float,
) -> Outcome:
    if client is None:
        return Outcome(trouble=Trouble.of(Busy("too many open files")))
    stream = SocketStream(client, timeout, is_prepared=True)
    conversation = Conversation(stream, stream, stream.fileno(), may_listen=begun.may_listen)
    return carry_out(order, begun, conversation, options)
