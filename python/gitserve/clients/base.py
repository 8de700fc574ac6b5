"""The client: what can be done with a server, over whichever road.

In: a repository's path and what is wanted of it. Out: results; packs and progress to callables.
Names and signatures are dulwich's. Subclasses know how to get there, and nothing else.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self, TypeVar

from gitserve import __version__
from gitserve.clients.archive import archive
from gitserve.clients.asking import WantsFunction, ask_wants, deepening_of, moves_of
from gitserve.clients.driver import Line, Parties, Sink, ignore
from gitserve.clients.effects import Dialogue, EndRequest, Send
from gitserve.clients.failure import PushError, RemoteError
from gitserve.clients.fetch_order import Fetched, FetchOrder
from gitserve.clients.fetch_v0 import fetch_v0
from gitserve.clients.fetch_v2 import fetch_v2
from gitserve.clients.greeting import greet, list_refs
from gitserve.clients.limits import DEFAULT_TIMEOUT, ClientLimits
from gitserve.clients.offer import Offer, OfferV2, RefList
from gitserve.clients.packing import PackSource, pieces_of
from gitserve.clients.push import PushOrder, push
from gitserve.clients.results import FetchPackResult, LsRemoteResult, SendPackResult
from gitserve.clients.road import Activity, CountedRoad, Road
from gitserve.clients.rounds import HaveSource
from gitserve.clients.target import Intake, Target, native_of
from gitserve.clients.walkers import ForeignWalker, GraphWalker, RepositoryWalker
from gitserve.errors import PeerError
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import FLUSH_PKT
from gitserve.wire.ref_advertisement import PEELED, RefAdvertisement

AGENT = f"gitserve/{__version__}".encode()

DEFAULT_VERSION = 2

RemotePath = str | bytes | os.PathLike[str]

NO_ARCHIVE_OVER_HTTP = "archives cannot be asked for over HTTP"


class GitClient:
    """A Git server's other end. May be used again and again, from one thread at a time."""

    def __init__(
        self,
        thin_packs: bool = True,
        report_activity: Activity | None = None,
        quiet: bool = False,
        include_tags: bool = False,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        limits: ClientLimits | None = None,
        agent: bytes = AGENT,
    ) -> None:
        """``timeout``: seconds that a server may be silent. ``include_tags``: tags come along."""
        self._thin = thin_packs
        self._report_activity = report_activity
        self._quiet = quiet
        self._include_tags = include_tags
        self._timeout = timeout
        self._limits = limits or ClientLimits()
        self._agent = agent
        self.protocol_version = DEFAULT_VERSION
        """The version that the server spoke last."""

    @abstractmethod
    def _open(self, service: bytes, path: str, version: int) -> Road:
        """A road to ``git-upload-pack`` and the like."""

    def get_url(self, path: str) -> str:
        """The URL of a repository on this server."""
        raise NotImplementedError

    def close(self) -> None:
        """Lets go of what is kept between calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    # --- what can be done -----------------------------------------------------------------

    def get_refs(
        self,
        path: RemotePath,
        protocol_version: int | None = None,
        ref_prefix: Sequence[bytes] | None = None,
    ) -> LsRemoteResult:
        """The refs of a repository, peeled ones included."""
        with self._session(b"git-upload-pack", path, protocol_version) as session:
            listed = session.run(list_refs(session.offer, ref_prefix or (), self._agent))
            session.goodbye()
        peeled = {name + PEELED: value for name, value in listed.peeled.items()}
        return LsRemoteResult(
            {**listed.refs, **peeled}, listed.symrefs, session.offer.object_format, session.agent
        )

    ls_remote = get_refs

    def fetch_pack(
        self,
        path: RemotePath,
        determine_wants: WantsFunction,
        graph_walker: GraphWalker,
        pack_data: Sink,
        progress: Sink | None = None,
        depth: int | None = None,
        ref_prefix: Sequence[bytes] | None = None,
        filter_spec: bytes | None = None,
        protocol_version: int | None = None,
        shallow_since: str | int | None = None,
        shallow_exclude: Sequence[str | bytes] | None = None,
    ) -> FetchPackResult:
        """Hands the pack that brings what is wanted to ``pack_data``, piece by piece.

        ``determine_wants`` gets the refs (and the depth, when it takes two arguments) and returns
        ids. ``graph_walker`` has ``ack``, and ``__next__`` or ``next``, which return an id or
        ``None``. A filter is left out when the server knows none.
        """
        walker = ForeignWalker(graph_walker)
        deepening = deepening_of(depth, shallow_since, shallow_exclude)
        with self._session(b"git-upload-pack", path, protocol_version) as session:
            listed = session.run(list_refs(session.offer, ref_prefix or (), self._agent))
            order = FetchOrder(
                ask_wants(determine_wants, listed.refs, depth),
                tuple(walker.shallow),
                deepening,
                filter_spec,
                self._thin,
                self._include_tags,
                not self._quiet,
                self._agent,
            )
            fetched = session.fetch(order, walker, Parties(pack_data, progress or ignore))
        if fetched.shallow_info is not None:
            info = fetched.shallow_info
            walker.update_shallow(info.shallow, info.unshallow)
        return _fetch_result(session, listed, fetched)

    def fetch(
        self,
        path: RemotePath,
        target: Target,
        determine_wants: WantsFunction | None = None,
        progress: Sink | None = None,
        depth: int | None = None,
        ref_prefix: Sequence[bytes] | None = None,
        filter_spec: bytes | None = None,
        protocol_version: int | None = None,
        shallow_since: str | int | None = None,
        shallow_exclude: Sequence[str | bytes] | None = None,
    ) -> FetchPackResult:
        """Brings objects, by default of all refs, into a repository. Its refs stay as they are.

        Either all that was asked for is there afterwards, and reaches nothing that is missing, or
        nothing has changed. Raises PeerError or one of its kind, RepositoryError.
        """
        repository = native_of(target)
        deepening = deepening_of(depth, shallow_since, shallow_exclude)
        with self._session(b"git-upload-pack", path, protocol_version) as session:
            session.expect_format(repository.object_format)
            listed = session.run(list_refs(session.offer, ref_prefix or (), self._agent))
            objects = repository.objects.snapshot()
            shallow = repository.shallow
            known = [value for value in dict.fromkeys(listed.refs.values()) if value in objects]
            if determine_wants is not None:
                wants = ask_wants(determine_wants, listed.refs, depth)
            elif deepening.wanted:
                wants = tuple(dict.fromkeys(listed.refs.values()))
            else:
                wants = tuple(dict.fromkeys(listed.refs.values()).keys() - set(known))
            order = FetchOrder(
                wants,
                shallow,
                deepening,
                filter_spec,
                self._thin,
                self._include_tags,
                not self._quiet,
                self._agent,
            )
            tips = [value for _, value in repository.refs.snapshot().items()]
            walker = RepositoryWalker(objects, tips, shallow, known)
            count = 0
            with Intake(repository, self._limits.max_pack_bytes) as intake:
                fetched = session.fetch(order, walker, Parties(intake.write, progress or ignore))
                if wants:
                    count = intake.accept(wants, fetched)
        return _fetch_result(session, listed, fetched, count)

    def send_pack(
        self,
        path: RemotePath,
        update_refs: Callable[[dict[bytes, bytes]], dict[bytes, bytes] | None],
        generate_pack_data: PackSource,
        progress: Sink | None = None,
        push_options: Sequence[bytes] | None = None,
        atomic: bool = False,
    ) -> SendPackResult:
        """Moves refs of a server, and brings it the objects that they need.

        ``update_refs`` gets the server's refs and returns those that shall change; zeros delete.
        The pack comes from a :class:`~gitserve.repo.Repo`, or from a function. What became of each
        ref is in the result. Raises PeerError when the server takes nothing at all.
        """
        with self._session(b"git-receive-pack", path, 0) as session:
            offer = session.offer
            if not isinstance(offer, RefAdvertisement):
                raise Malformed("receive-pack has no version 2")
            native = getattr(generate_pack_data, "native", None)
            if native is not None:
                session.expect_format(native.object_format)
            asked = update_refs(dict(offer.refs)) or {}
            moves = moves_of(offer, asked)
            status: dict[bytes, str | None] = dict.fromkeys(asked)
            status.update(moves.impossible)
            if not moves.commands or (atomic and moves.impossible):
                session.goodbye()
                return SendPackResult(asked, session.agent, status)
            order = PushOrder(
                moves.commands,
                () if native is None else native.shallow,
                tuple(push_options or ()),
                atomic,
                self._quiet,
                self._agent,
            )
            wants = [command.new for command in moves.commands if not command.is_delete]
            pieces: Iterable[bytes] = ()
            if wants:
                pieces = pieces_of(
                    generate_pack_data, offer, wants, thin=self._thin, progress=progress
                )
            told = session.run(
                push(offer, order), Parties(progress=progress or ignore, pack_to_send=pieces)
            )
        if told is None:
            return SendPackResult(asked, session.agent, None)
        if told.unpack_error is not None:
            words = told.unpack_error.decode("utf-8", "replace")
            raise PushError(f"the server could not take the pack: {words}")
        reported = {result.ref: result for result in told.results}
        for command in moves.commands:
            result = reported.get(command.ref)
            if result is None:
                status[command.ref] = "the server failed to report"
            elif result.error is not None:
                status[command.ref] = result.error.decode("utf-8", "replace")
        return SendPackResult(asked, session.agent, status)

    def archive(
        self,
        path: RemotePath,
        committish: bytes,
        write_data: Sink,
        progress: Sink | None = None,
        write_error: Sink | None = None,
        format: bytes | None = None,  # noqa: A002 - dulwich's name
        subdirs: Sequence[bytes] | None = None,
        prefix: bytes | None = None,
    ) -> None:
        """Hands an archive of a tree, made by the server, to ``write_data`` piece by piece.

        ``write_error`` gets what the server says when it fails; the error is raised as well.
        """
        arguments = [b"--format=" + format] if format is not None else []
        if prefix is not None:
            arguments.append(b"--prefix=" + prefix)
        arguments += [committish, *(subdirs or ())]
        road = self._road(b"git-upload-archive", path, 0)
        try:
            if road.stateless:
                raise PeerError(NO_ARCHIVE_OVER_HTTP)
            parties = Parties(write_data, progress or ignore)
            Line(road, self._limits).run(archive(arguments), parties)
        except RemoteError as error:
            if write_error is not None:
                write_error(str(error).encode())
            raise
        finally:
            road.close()

    # --- how ------------------------------------------------------------------------------

    def _road(self, service: bytes, path: RemotePath, version: int) -> Road:
        road = self._open(service, os.fsdecode(path), version)
        return road if self._report_activity is None else CountedRoad(road, self._report_activity)

    @contextmanager
    def _session(self, service: bytes, path: RemotePath, version: int | None) -> Iterator[_Session]:
        if version not in (None, 0, 1, 2):
            raise ValueError(f"unknown Git protocol version {version}")
        road = self._road(service, path, DEFAULT_VERSION if version is None else version)
        try:
            session = _Session(road, self._limits, service)
            self.protocol_version = 2 if isinstance(session.offer, OfferV2) else 0
            yield session
        finally:
            road.close()


T = TypeVar("T")


class _Session:
    """A server that has been greeted."""

    __slots__ = ("_line", "_stateless", "offer")

    def __init__(self, road: Road, limits: ClientLimits, service: bytes) -> None:
        self._line = Line(road, limits)
        self._stateless = road.stateless
        greeting = greet(http_service=service if road.stateless else None)
        self.offer: Offer = self._line.run(greeting)

    def run(self, dialogue: Dialogue[T], parties: Parties | None = None) -> T:
        """Performs a dialogue."""
        return self._line.run(dialogue, parties)

    def fetch(self, order: FetchOrder, source: HaveSource, parties: Parties) -> Fetched:
        """In the version that the server speaks."""
        if isinstance(self.offer, OfferV2):
            return self.run(fetch_v2(self.offer, order, source), parties)
        return self.run(
            fetch_v0(self.offer, order, source, stateless=self._stateless), parties
        )  # fmt: skip

    def goodbye(self) -> None:
        """Nothing more is wanted: a flush lets the server end in peace."""
        if not self._stateless:
            self.run(_farewell())

    def expect_format(self, object_format: str) -> None:
        """Raises PeerError when the server's ids are not like ours."""
        theirs = self.offer.object_format
        if theirs != object_format:
            raise PeerError(
                f"mismatched object format: server {theirs}, repository {object_format}"
            )

    @property
    def agent(self) -> bytes | None:
        """What the server calls itself."""
        return self.offer.capabilities.get(b"agent")


def _farewell() -> Dialogue[None]:
    yield Send(FLUSH_PKT)
    yield EndRequest()


def _fetch_result(
    session: _Session, listed: RefList, fetched: Fetched, objects: int = 0
) -> FetchPackResult:
    info = fetched.shallow_info
    return FetchPackResult(
        listed.refs,
        listed.symrefs,
        session.agent,
        None if info is None else frozenset(info.shallow),
        None if info is None else frozenset(info.unshallow),
        session.offer.object_format,
        objects,
    )
