"""One request from its first byte to its last: repository, session and service put together.

In: a repository, a conversation, the protocol version. Out: whatever the client gets. This is what
transports call. Which capabilities are offered follows from the repository's configuration.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from itertools import count

from gitserve import __version__
from gitserve._core import RefSnapshot
from gitserve.errors import GitServeError, InternalError
from gitserve.options import HookRules, PackCacheOptions
from gitserve.policy import Policy, Request
from gitserve.record import TYPE_CHECKING, Record
from gitserve.repository.config import Config, ConfigError
from gitserve.repository.native import NativeRepository
from gitserve.repository.readable import ReadableRepository
from gitserve.service.driver import advance, drive
from gitserve.service.filterpolicy import filter_policy
from gitserve.service.promisors import PromisedObjects, advertised_promisors
from gitserve.service.remarks import Aside, nowhere
from gitserve.service.sharing import PROCESSORS
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.session.config import Limits, ReceiveConfig, UploadConfig
from gitserve.session.effects import WantReach

if TYPE_CHECKING:
    from gitserve.service.foreign_push import ForeignReceiveService
    from gitserve.service.orders import Homes
    from gitserve.service.receive import ReceiveService

AGENT = os.fsencode(os.environ.get("GIT_USER_AGENT") or f"gitserve/{__version__}")
"""What we call ourselves; the variable is git's."""

_session_numbers = count()


SKIP_LIST = "receive.fsck.skiplist"


class ServiceOptions(Record):
    """What the server, not the repository, decides."""

    limits: Limits = Limits()
    hooks: HookRules = HookRules()
    threads: int = 0
    """Of the core, for one request; 0: as many as there are processors."""
    check_connectivity: bool = True
    """Refuse a push whose objects lead to missing ones. Without, whoever calls has to know that
    they do not."""
    lazy_environ: Mapping[str, str] | None = None
    """The environment of the one client that is served; where it says ``GIT_NO_LAZY_FETCH=0``, what
    a partial clone lacks is fetched for him."""
    pack_cache: PackCacheOptions | None = None
    upkeep: str = ""
    """How roll-ups are done that pushes make due (:mod:`gitserve.service.rolling`); empty: not."""
    policy: Policy | None = None
    """The operator's rules. At the door the road asks them (:mod:`.permission`), of refs a push."""
    traced: bool = False
    """Keep in the tally what was asked."""
    homes: Homes | None = None
    """Where packs are made; always here, unless this is one of several processes of a server."""


class Manner(Record):
    """How this client is spoken to."""

    version: int = 0
    stateless: bool = False
    """Each request stands alone; only some clients of ``--stateless-rpc`` and HTTP want this."""
    advertise_only: bool = False
    request: Request | None = None
    """Who this is, for a policy."""
    hidden: tuple[bytes, ...] = ()
    """Refs that the policy hides from him, as patterns."""
    gives_bundles: bool = False
    """He gets files of the repository at its address, too."""


def serve_upload(
    repository: ReadableRepository,
    conversation: Conversation,
    manner: Manner,
    options: ServiceOptions,
    tally: Tally,
) -> None:
    """A fetch or clone. Raises what could not be told to the client, or was and is to be logged."""
    for _ in upload_steps(repository, conversation, manner, options, tally):
        pass


def upload_steps(
    repository: ReadableRepository,
    conversation: Conversation,
    manner: Manner,
    options: ServiceOptions,
    tally: Tally,
) -> Generator[None, None, None]:
    """As :func:`serve_upload`, step by step, for a road whose answers are pulled."""
    # imported here, because a process that is started for one request needs only one of these
    from gitserve.service.upload import UploadService

    fetch_missing: Callable[[bytes], bool] | None = None
    if isinstance(repository, NativeRepository):
        fetch_missing = PromisedObjects(repository, options.lazy_environ, tally).fetch
    service = UploadService(
        repository, conversation, tally=tally, threads=options.threads,
        fetch_missing=fetch_missing, pack_cache=options.pack_cache, hidden=manner.hidden,
        gives_bundles=manner.gives_bundles, homes=options.homes,
    )  # fmt: skip
    config = upload_config(repository, service.refs, manner, options)
    if manner.version == 2:
        from gitserve.session.upload_v2 import upload_v2

        dialogue = upload_v2(config)
    else:
        from gitserve.session.upload_v0 import upload_v0

        dialogue = upload_v0(config, version=manner.version)
    try:
        yield from advance(dialogue, conversation, service)
    finally:
        service.close()


def serve_receive(
    repository: ReadableRepository,
    conversation: Conversation,
    manner: Manner,
    options: ServiceOptions,
    tally: Tally,
    aside: Aside = nowhere,
) -> None:
    """A push. ``aside``: where remarks go for a client without bands."""
    from gitserve.session.receive import receive

    PROCESSORS.spread()
    service = _receiver(repository, conversation, manner, options, tally, aside)
    try:
        # receive-pack has no version 2; who asks for it is answered in 0, as git does
        version = manner.version if manner.version == 1 else 0
        config = receive_config(repository, manner, options)
        drive(receive(config, version=version), conversation, service)
    finally:
        service.close()
        if options.upkeep and tally.updated and isinstance(repository, NativeRepository):
            _roll_up(repository, options.upkeep, tally)


def _roll_up(repository: NativeRepository, how: str, tally: Tally) -> None:
    from gitserve.service.rolling import after_push

    try:
        after_push(repository, how)
    except (GitServeError, OSError) as error:
        # the push is none the worse for it
        tally.warnings += (f"no roll-up: {error}",)


def serve_archive(
    repository: ReadableRepository, conversation: Conversation, hidden: Sequence[bytes] = ()
) -> None:
    """An archive of a tree. Raises what went wrong, once the client has been told.

    ``hidden``: patterns of refs that a policy hides.
    """
    for _ in archive_steps(repository, conversation, hidden):
        pass


def archive_steps(
    repository: ReadableRepository, conversation: Conversation, hidden: Sequence[bytes] = ()
) -> Generator[None, None, None]:
    """As :func:`serve_archive`, step by step, for a road whose answers are pulled."""
    from gitserve.service.archive import ArchiveService
    from gitserve.session.archive import archive

    service = ArchiveService(repository, conversation, hidden)
    try:
        yield from advance(archive(), conversation, service)
    finally:
        service.close()


def _receiver(
    repository: ReadableRepository,
    conversation: Conversation,
    manner: Manner,
    options: ServiceOptions,
    tally: Tally,
    aside: Aside,
) -> ReceiveService | ForeignReceiveService:
    """The one choice between objects on disk and somebody's own."""
    if isinstance(repository, NativeRepository):
        from gitserve.service.receive import ReceiveService

        return ReceiveService(
            repository, conversation, tally=tally, hook_rules=options.hooks, aside=aside,
            threads=options.threads, check_connectivity=options.check_connectivity,
            policy=options.policy, request=manner.request, hidden=manner.hidden,
        )  # fmt: skip
    from gitserve.repository.foreign import ForeignRepository
    from gitserve.service.foreign_push import ForeignReceiveService

    if not isinstance(repository, ForeignRepository):
        raise InternalError(f"cannot push to a {type(repository).__name__}")
    return ForeignReceiveService(
        repository, conversation, tally=tally, aside=aside,
        policy=options.policy, request=manner.request, hidden=manner.hidden,
    )  # fmt: skip


def upload_config(
    repository: ReadableRepository, refs: RefSnapshot, manner: Manner, options: ServiceOptions
) -> UploadConfig:
    """What this repository offers a fetch."""
    config = repository.config
    symrefs: tuple[tuple[bytes, bytes], ...] = ()
    if manner.version != 2:  # where refs are listed on demand
        head = refs.symbolic(b"HEAD")
        symrefs = ((b"HEAD", head),) if head is not None and refs.get(head) is not None else ()
    offered = config.derived(_UploadOffer).to(
        repository.object_format,
        manner.stateless,
        manner.advertise_only,
        symrefs,
        options.traced,
        options.limits,
    )
    if manner.hidden:
        # an id must not open what the policy hides, whatever the repository allows
        offered = offered.but(allow_any_sha1_in_want=False, v2_reach=WantReach.REACHABLE)
    session_id = _session_id(config)
    return offered if session_id is None else offered.but(session_id=session_id)


class _UploadOffer:
    """What one configuration makes of :class:`UploadConfig`; most requests get the last one's."""

    __slots__ = ("_config", "_last")

    def __init__(self, config: Config) -> None:
        self._config = config
        self._last: tuple[tuple[object, ...], UploadConfig] | None = None

    def to(
        self,
        object_format: str,
        stateless: bool,
        advertise_only: bool,
        symrefs: tuple[tuple[bytes, bytes], ...],
        traced: bool,
        limits: Limits,
    ) -> UploadConfig:
        """All of it but the session id, which is each request's own."""
        asked = (object_format, stateless, advertise_only, symrefs, traced, limits)
        last = self._last
        if last is not None and last[0] == asked:
            return last[1]
        config = self._config
        made = UploadConfig(
            agent=AGENT,
            object_format=object_format,
            stateless=stateless,
            advertise_only=advertise_only,
            symrefs=symrefs,
            allow_filter=config.get_bool("uploadpack.allowfilter"),
            filter_rules=filter_policy(config),
            promisor_remotes=advertised_promisors(config),
            allow_tip_sha1_in_want=config.get_bool("uploadpack.allowtipsha1inwant"),
            allow_reachable_sha1_in_want=config.get_bool("uploadpack.allowreachablesha1inwant"),
            allow_any_sha1_in_want=config.get_bool("uploadpack.allowanysha1inwant"),
            v2_reach=_v2_reach(config),
            allow_sideband_all=config.get_bool("uploadpack.allowsidebandall"),
            allow_packfile_uris=config.get("uploadpack.blobpackfileuri") is not None,
            allow_ref_in_want=config.get_bool("uploadpack.allowrefinwant"),
            advertise_object_info=config.get_bool("transfer.advertiseobjectinfo"),
            advertise_bundles=config.get_bool("uploadpack.advertisebundleuris"),
            traced=traced,
            advertise_unborn=(config.get("lsrefs.unborn") or "advertise").lower() == "advertise",
            limits=limits,
        )
        self._last = asked, made
        return made


def receive_config(
    repository: ReadableRepository, manner: Manner, options: ServiceOptions
) -> ReceiveConfig:
    """What this repository offers a push. Raises ConfigError before anything is offered."""
    config = repository.config
    if SKIP_LIST in config and config.get(SKIP_LIST) is None:
        raise ConfigError(f"unable to parse '{SKIP_LIST}' {config.origin(SKIP_LIST)}")
    return ReceiveConfig(
        agent=AGENT,
        object_format=repository.object_format,
        stateless=manner.stateless,
        advertise_only=manner.advertise_only,
        advertise_atomic=config.get_bool("receive.advertiseatomic", True),
        advertise_ofs_delta=config.get_bool("repack.usedeltabaseoffset", True),
        advertise_push_options=config.get_bool("receive.advertisepushoptions"),
        certificate_nonce=_nonce(repository),
        session_id=_session_id(config),
        limits=options.limits,
    )


def _v2_reach(config: Config) -> WantReach:
    """git gives whatever it has to whoever knows its id; who says no expressly means it."""
    allowed = config.get_optional_bool("uploadpack.allowanysha1inwant")
    return WantReach.REACHABLE if allowed is False else WantReach.ANY


def _nonce(repository: ReadableRepository) -> bytes | None:
    """``receive.certNonceSeed``: without it no certificate can be told from a copy."""
    seed = repository.config.get("receive.certnonceseed")
    if not seed or not isinstance(repository, NativeRepository):
        return None
    from gitserve.service import nonce

    return nonce.make(seed, os.fsencode(repository.git_dir), int(time.time()))


def _session_id(config: Config) -> bytes | None:
    """``transfer.advertiseSID``: tells the logs of both ends which requests belong together."""
    if not config.get_bool("transfer.advertisesid"):
        return None
    return b"%d-%d-%d" % (time.time_ns(), os.getpid(), next(_session_numbers))
