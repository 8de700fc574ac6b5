"""What a session asks of the world: every read, write and piece of work, as a value.

In: nothing. Out: the vocabulary between :mod:`gitserve.session`, which decides, and
:mod:`gitserve.service`, which performs. A session is a generator that yields effects and is sent
each effect's reply; it must not know sockets, files or repositories.

Object ids are hexadecimal digits as bytes, as on the wire; ref names are bytes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from gitserve.wire.pktline import Packet
from gitserve.wire.receive_commands import Command

# --- dialogue ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """The next packet. Reply: :data:`Packet`; ``None`` at a clean end of input."""


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes, already framed. Reply: ``None``."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything sent so far must leave now; the client waits for it. Reply: ``None``."""


# --- refs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdvertiseRefs:
    """The v0/v1 advertisement of the visible refs, peeled, with a closing flush.

    Reply: ``None``. Done by the core straight into the sink. ``capabilities`` goes behind the
    first ref's NUL, or behind ``capabilities^{}`` when there is none.
    """

    capabilities: bytes
    receive: bool = False
    """For receive-pack: no HEAD, no peeled values, ``.have`` lines."""


@dataclass(frozen=True, slots=True)
class ListRefs:
    """The v2 ``ls-refs`` answer without its flush. Reply: ``None``; written to the sink."""

    prefixes: tuple[bytes, ...]
    peel: bool
    symrefs: bool
    unborn: bool


# --- fetching ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckWants:
    """May the client have these? Reply: the first id it may not have, or ``None``."""

    wants: tuple[bytes, ...]
    tips_only: bool
    """v0 asks for advertised tips; v2 over a stateless road for any reachable tip alike."""


class DeepenKind(Enum):
    """How the client bounds the history it wants."""

    NONE = "none"
    DEPTH = "depth"
    SINCE_OR_NOT = "since-or-not"


@dataclass(frozen=True, slots=True)
class Deepen:
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


@dataclass(frozen=True, slots=True)
class ShallowUpdate:
    """The new boundary: commits that lose their parents, commits that get them back."""

    shallow: tuple[bytes, ...] = ()
    unshallow: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class AddHaves:
    """Ids the client says it has. Reply: :class:`Common`.

    The service keeps the state of the negotiation; the first ``AddHaves`` or ``SendPack`` of a
    request begins it with the wants of the preceding :class:`BeginNegotiation`.
    """

    haves: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BeginNegotiation:
    """Fixes the wants and the client's shallow commits. Reply: ``None``."""

    wants: tuple[bytes, ...]
    client_shallow: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Common:
    """Which of the haves of one :class:`AddHaves` the repository has, in the client's order."""

    common: tuple[bytes, ...]
    ready: bool
    """Every want reaches something common: more haves would change little."""


class Framing(Enum):
    """How pack bytes travel; the value is the longest pkt-line, 0 for no framing at all."""

    NONE = 0
    SIDE_BAND = 1000
    SIDE_BAND_64K = 65520


@dataclass(frozen=True, slots=True)
class SendPack:
    """Compute the pack and stream it. Reply: ``None``; all of it is written to the sink.

    The common commits are those that the negotiation found. No flush is written after it.
    """

    wants: tuple[bytes, ...]
    client_shallow: tuple[bytes, ...] = ()
    shallow_update: ShallowUpdate = field(default_factory=ShallowUpdate)
    filter_spec: bytes | None = None
    thin: bool = False
    ofs_delta: bool = False
    include_tag: bool = False
    progress: bool = True
    framing: Framing = Framing.SIDE_BAND_64K


# --- receiving --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakePack:
    """Read a raw pack off the input into a quarantine. Reply: :class:`Unpacked`."""

    commands: tuple[Command, ...]
    client_shallow: tuple[bytes, ...] = ()
    framing: Framing = Framing.NONE
    """Where progress and errors go while it is read: a band, or nowhere."""
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What became of the pack: ``error`` is git's word for the report, ``None`` when well."""

    error: bytes | None = None


@dataclass(frozen=True, slots=True)
class ApplyCommands:
    """Policy, connectivity, hooks, publication, ref transaction - in that order.

    Reply: a tuple of :class:`CommandResult`, one a command, in order. What hooks print goes to
    band 2 while they run when ``framing`` has bands.
    """

    commands: tuple[Command, ...]
    atomic: bool
    client_shallow: tuple[bytes, ...] = ()
    push_options: tuple[bytes, ...] = ()
    framing: Framing = Framing.NONE
    quiet: bool = False
    pack_taken: bool = False


@dataclass(frozen=True, slots=True)
class CommandResult:
    """One command's fate. ``error`` is what follows ``ng <ref> ``; ``None`` means ``ok``."""

    ref: bytes
    error: bytes | None = None
    options: tuple[bytes, ...] = ()
    """``option ...`` lines of report-status-v2, without the word ``option``."""


@dataclass(frozen=True, slots=True)
class AfterReport:
    """The report has been sent: run post-receive and post-update. Reply: ``None``."""

    results: Sequence[CommandResult]
    framing: Framing = Framing.NONE


Effect = (
    Read
    | Send
    | Flush
    | AdvertiseRefs
    | ListRefs
    | CheckWants
    | Deepen
    | BeginNegotiation
    | AddHaves
    | SendPack
    | TakePack
    | ApplyCommands
    | AfterReport
)
Reply = Packet | None | bytes | ShallowUpdate | Common | Unpacked | tuple[CommandResult, ...]
Dialogue = Generator[Effect, Reply, None]
