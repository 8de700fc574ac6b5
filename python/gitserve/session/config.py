"""What a session is told before it begins: what to offer, and how much to take.

In: nothing. Out: frozen values, filled by the service from the repository's configuration and the
server's options. They must not name a road: a stateless one is a property of the dialogue.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitserve.record import EMPTY, Record
from gitserve.session.effects import WantReach
from gitserve.wire.object_id import HEX_LENGTHS
from gitserve.wire.promisor_remotes import PromisorRemote


class Limits(Record):
    """How much of anything one request may bring. Beyond it the answer is a refusal.

    Counts are of lines, and generous: the largest public mirrors have some 50,000 refs.
    """

    max_section_bytes: int = 64 << 20
    """Of one section of lines: what a request may make us keep, whatever its lines are."""
    max_wants: int = 250_000
    """One a ref, when a mirror is cloned."""
    max_haves: int = 250_000
    """In one v2 request: clients send all common ones again, and at most 16,384 others."""
    max_haves_streamed: int = 16_000_000
    """In one v0 dialogue, where they are not kept; a client may name its whole history."""
    max_shallow: int = 250_000
    """Boundary commits of the client."""
    max_deepen_not: int = 1_000
    """Each is a walk of its own."""
    max_prefixes: int = 250_000
    """Lines that are read; from 65,536 on they are ignored, as in git."""
    max_server_options: int = 1_000
    max_commands: int = 250_000
    """One a ref, when a mirror is pushed."""
    max_push_options: int = 1_000
    """Each becomes an environment variable of every hook."""


class FilterRules(Record):
    """Which filters clients may use, by git's names for them."""

    default: bool = True
    by_kind: Mapping[str, bool] = EMPTY
    tree_depth: int | None = None
    """The deepest ``tree:``."""

    def allows(self, kind: str) -> bool:
        """``blob:none``, ``tree``, ``combine``..."""
        return self.by_kind.get(kind, self.default)


class UploadConfig(Record):
    """A fetch or clone."""

    agent: bytes = b"gitserve"
    object_format: str = "sha1"
    stateless: bool = False
    """Each request stands alone: the client has its advertisement, and sends all state again."""
    advertise_only: bool = False
    """Advertise and end: the first request over a stateless road."""
    symrefs: tuple[tuple[bytes, bytes], ...] = ()
    """(name, target) of symbolic refs to advertise in v0, which is HEAD's when it has one."""
    allow_filter: bool = False
    filter_rules: FilterRules = FilterRules()
    promisor_remotes: tuple[PromisorRemote, ...] = ()
    """v2: where clients could get what the repository itself lacks."""
    allow_tip_sha1_in_want: bool = False
    """Wants may be values of hidden refs."""
    allow_reachable_sha1_in_want: bool = False
    """Wants may be whatever a tip reaches, in v0."""
    allow_any_sha1_in_want: bool = False
    """Wants may be any object, in v0."""
    v2_reach: WantReach = WantReach.ANY
    """git's v2 serves any object it has; ``uploadpack.allowAnySHA1InWant=false`` asks for less."""
    allow_sideband_all: bool = False
    advertise_unborn: bool = True
    allow_packfile_uris: bool = False
    """v2: clients may get some objects from elsewhere."""
    allow_ref_in_want: bool = False
    """v2: clients may name refs instead of ids."""
    advertise_object_info: bool = False
    advertise_bundles: bool = False
    traced: bool = False
    """Somebody wants to know what is asked."""
    session_id: bytes | None = None
    limits: Limits = Limits()

    @property
    def hex_length(self) -> int:
        """Digits of an object id."""
        return HEX_LENGTHS[self.object_format]


class ReceiveConfig(Record):
    """A push."""

    agent: bytes = b"gitserve"
    object_format: str = "sha1"
    stateless: bool = False
    advertise_only: bool = False
    advertise_atomic: bool = True
    advertise_ofs_delta: bool = True
    advertise_push_options: bool = False
    certificate_nonce: bytes | None = None
    """To be in the certificates of signed pushes; None: they are not taken."""
    session_id: bytes | None = None
    limits: Limits = Limits()

    @property
    def hex_length(self) -> int:
        """Digits of an object id."""
        return HEX_LENGTHS[self.object_format]
