"""What a session asks of the world: every read, write and piece of work, as a value.

In: nothing. Out: the vocabulary between :mod:`gitserve.session`, which decides, and
:mod:`gitserve.service`, which performs. A session is a generator that yields effects and is sent
each effect's reply; it must not know sockets, files or repositories.

An effect that cannot be performed raises one of :mod:`gitserve.errors` inside the session (it is
thrown in at the ``yield``). The session tells the client what the client may know, by more effects,
and raises it again for whoever logs.

Object ids are hexadecimal digits as bytes, as on the wire; ref names are bytes.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from enum import Enum

from gitserve.record import TYPE_CHECKING, Record
from gitserve.wire.pktline import Run
from gitserve.wire.push_certificate import PushCertificate
from gitserve.wire.receive_commands import Command
from gitserve.wire.report import CommandResult as CommandResult

if TYPE_CHECKING:
    from typing import Any, TypeAlias

# --- dialogue ---------------------------------------------------------------


class Read(Record):
    """What comes next. Reply: :class:`~gitserve.wire.pktline.Run`; ``None`` at a clean end.

    One run, not one packet: at least one packet, and whatever else has arrived already, up to and
    including the first marker. It waits for nothing but the first packet.
    """


class Send(Record):
    """These bytes, already framed. Reply: ``None``."""

    data: bytes


class Flush(Record):
    """Everything sent so far must leave now; the client waits for it. Reply: ``None``."""


class Agreed(Record):
    """What a v0 or v1 client has chosen of the capabilities offered. Reply: ``None``.

    A performer that demands something of clients raises.
    """

    capabilities: Mapping[bytes, bytes | None]


class Traced(Record):
    """Something for whoever traces requests. Reply: ``None``."""

    key: str
    value: object


# --- refs -------------------------------------------------------------------


class AdvertiseRefs(Record):
    """The v0/v1 advertisement of the visible refs, peeled, with a closing flush.

    Reply: ``None``. Done by the core straight into the sink. ``capabilities`` goes behind the
    first ref's NUL, or behind ``capabilities^{}`` when there is none.
    """

    capabilities: bytes
    receive: bool = False
    """For receive-pack: no HEAD, no peeled values, ``.have`` lines."""


class ListRefs(Record):
    """The v2 ``ls-refs`` answer, its flush included. Reply: ``None``; written to the sink."""

    prefixes: tuple[bytes, ...]
    peel: bool
    symrefs: bool
    unborn: bool


# --- fetching ---------------------------------------------------------------


class WantReach(Enum):
    """Which objects a client may ask for by id."""

    TIPS = "tips"
    """Values of refs: v0 when it keeps the connection."""
    REACHABLE = "reachable"
    """And what they reach: v0 over a stateless road, where a ref may move between two requests."""
    ANY = "any"
    """Whatever is stored: v2, where clients with filters ask for single trees and blobs."""


class CheckWants(Record):
    """May the client have these? Reply: the first id it may not have, or ``None``."""

    wants: tuple[bytes, ...]
    reach: WantReach
    hidden_tips: bool = False
    """Values of hidden refs count as tips too (``uploadpack.allowTipSHA1InWant``)."""


class DeepenKind(Enum):
    """How the client bounds the history it wants."""

    NONE = "none"
    """Not at all: the reply holds only what the repository's own shallow commits impose."""
    DEPTH = "depth"
    SINCE_OR_NOT = "since-or-not"


class ResolveRefs(Record):
    """What these full ref names stand for. Reply: an id each, ``None`` for one not to be seen."""

    names: tuple[bytes, ...]


class MeasureObjects(Record):
    """How large these are. Reply: bytes each, ``None`` for one that is not there."""

    ids: tuple[bytes, ...]


class ListBundles(Record):
    """Where a client could get most of this elsewhere. Reply: ``key=value`` lines."""


class Deepen(Record):
    """Where the client's history shall end. Reply: :class:`ShallowUpdate`."""

    wants: tuple[bytes, ...]
    client_shallow: tuple[bytes, ...]
    kind: DeepenKind
    depth: int = 0
    """2147483647 means everything (``--unshallow``)."""
    relative: bool = False
    since: int | None = None
    """Seconds since 1970."""
    exclude: tuple[bytes, ...] = ()
    """Ref names of ``deepen-not``."""


class ShallowUpdate(Record):
    """The new boundary: commits that lose their parents, commits that get them back."""

    shallow: tuple[bytes, ...] = ()
    unshallow: tuple[bytes, ...] = ()
    unknown_ref: bytes | None = None
    """A ``deepen-not`` that names no visible ref; nothing else holds then."""


class AddHaves(Record):
    """Ids the client says it has. Reply: :class:`Common`.

    The service keeps the state of the negotiation, begun by the preceding
    :class:`BeginNegotiation`.
    """

    haves: tuple[bytes, ...]
    find_ready_at: bool = False
    """v0 tells the client at which have it became enough; costs a check for each run of unknown
    haves."""


class BeginNegotiation(Record):
    """Fixes the wants and the client's shallow commits. Reply: does the repository lack history
    itself?"""

    wants: tuple[bytes, ...]
    client_shallow: tuple[bytes, ...] = ()
    unshallow: tuple[bytes, ...] = ()
    """Commits that get their parents back: these parents are wanted, too, and nothing is ready
    before they reach something common. A performer that leaves them out sends no wrong pack, but
    may end the negotiation early."""
    boundary: tuple[bytes, ...] = ()
    """Where the history that is to meet common commits ends: in v0, which agrees on that before
    haves are said, at what the client will have without parents. v2 looks at all of it."""


class Common(Record):
    """Which of the haves of one :class:`AddHaves` the repository has."""

    common: Sequence[bytes]
    """In the client's order; one that was sent twice may be here twice, none else."""
    ready: bool
    """Every want reaches something common: more haves would change little."""
    ready_at: int | None = None
    """When asked for: the index of the first have that the repository lacks and at which the
    negotiation was ready; ``None`` when there was none such."""


class Framing(Enum):
    """How pack bytes travel; the value is the longest pkt-line, 0 for no framing at all."""

    NONE = 0
    SIDE_BAND = 1000
    SIDE_BAND_64K = 65520


class SendPack(Record):
    """Compute the pack and stream it. Reply: ``None``; all of it is written to the sink.

    The common commits are those that the negotiation found. No flush is written after it.
    """

    wants: tuple[bytes, ...]
    client_shallow: tuple[bytes, ...] = ()
    shallow_update: ShallowUpdate = ShallowUpdate()
    filter_spec: bytes | None = None
    thin: bool = False
    ofs_delta: bool = False
    include_tag: bool = False
    progress: bool = True
    framing: Framing = Framing.SIDE_BAND_64K
    sideband_all: bool = False
    leave_missing: bool = False
    """The client knows where to get what the repository lacks."""


class LeaveToUris(Record):
    """Begins the work on a pack, without what the client can get elsewhere over these protocols.

    Reply: a sequence of :class:`~gitserve.wire.packfile_uris.PackfileUri`, one for each object that
    will not be in the pack. The same :class:`SendPack` has to follow.
    """

    pack: SendPack
    protocols: tuple[bytes, ...]


class SendArchive(Record):
    """Make an archive and stream it in the first band. Reply: ``None``; no flush is written."""

    arguments: tuple[bytes, ...]
    """Those of ``git archive``."""


# --- receiving --------------------------------------------------------------


class TakePack(Record):
    """Read a raw pack off the input into a quarantine. Reply: :class:`Unpacked`."""

    commands: tuple[Command, ...]
    client_shallow: tuple[bytes, ...] = ()
    framing: Framing = Framing.NONE
    """Where progress and errors go while it is read: a band, or nowhere."""
    quiet: bool = False


class Unpacked(Record):
    """What became of the pack: ``error`` is git's word for the report, ``None`` when well."""

    error: bytes | None = None


class ApplyCommands(Record):
    """Policy, connectivity, hooks, publication, ref transaction - in that order.

    Reply: a sequence of :class:`~gitserve.wire.report.CommandResult`, one a command, in order;
    more than one for a command that a hook made several refs of.
    What hooks print goes to band 2 while they run when ``framing`` has bands.
    """

    commands: tuple[Command, ...]
    atomic: bool
    client_shallow: tuple[bytes, ...] = ()
    push_options: tuple[bytes, ...] = ()
    framing: Framing = Framing.NONE
    quiet: bool = False
    pack_taken: bool = False
    certificate: PushCertificate | None = None
    nonce: bytes = b""
    """What the certificate was asked to contain."""
    stateless: bool = False
    """It was asked so by another process."""


class AfterReport(Record):
    """The report has been sent: run post-receive and post-update. Reply: ``None``."""

    results: Sequence[CommandResult]
    framing: Framing = Framing.NONE


Effect = (
    Read
    | Send
    | Flush
    | Agreed
    | AdvertiseRefs
    | ListRefs
    | CheckWants
    | ResolveRefs
    | MeasureObjects
    | ListBundles
    | Traced
    | Deepen
    | BeginNegotiation
    | AddHaves
    | SendPack
    | LeaveToUris
    | SendArchive
    | TakePack
    | ApplyCommands
    | AfterReport
)
Reply = Run | None | bytes | ShallowUpdate | Common | Unpacked | Sequence[CommandResult]
# Sent values are Any for the sessions' sake: which reply an effect has is said in its docstring,
# and each `yield` there names the type that it expects.
Dialogue: TypeAlias = "Generator[Effect, Any, None]"
