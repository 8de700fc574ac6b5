"""Performs what a fetch asks for, on a repository.

In: the effects of the upload sessions. Out: their replies, and pack bytes into the conversation.
Must not know which protocol version asks, nor over which road.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from gitserve._core import (
    Negotiation,
    PackCache,
    PackStream,
    RefSnapshot,
    Snapshot,
    all_reachable,
    deepen,
)
from gitserve.errors import Busy, InternalError, MissingObject
from gitserve.options import PackCacheOptions
from gitserve.repository.hiderefs import hidden_patterns, without
from gitserve.repository.locate import Location
from gitserve.repository.native import NativeRepository
from gitserve.repository.packrules import pack_rules
from gitserve.repository.readable import ReadableRepository
from gitserve.service.advertise import upload_advertisement
from gitserve.service.orders import Homes, Order
from gitserve.service.packcache import opened, shown
from gitserve.service.sharing import PROCESSORS
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.session.effects import (
    AddHaves,
    AdvertiseRefs,
    Agreed,
    BeginNegotiation,
    CheckWants,
    Common,
    Deepen,
    DeepenKind,
    Effect,
    LeaveToUris,
    ListBundles,
    ListRefs,
    MeasureObjects,
    ResolveRefs,
    SendPack,
    ShallowUpdate,
    Traced,
    WantReach,
)
from gitserve.wire import filter_spec
from gitserve.wire.object_id import HEX_LENGTHS
from gitserve.wire.packfile_uris import PackfileUri

INFINITE_DEPTH = 0x7FFFFFFF
"""Git's word for "all of it"."""

_REF_RULES = (b"%b", b"refs/%b", b"refs/tags/%b", b"refs/heads/%b", b"refs/remotes/%b",
              b"refs/remotes/%b/HEAD")  # fmt: skip
"""How a short ref name is understood: gitrevisions(7), <refname>."""


class UploadService:
    """One request for objects: sees one snapshot of refs and objects from first to last."""

    performs: Mapping[type[Effect], str] = MappingProxyType(
        {
            Agreed: "agreed",
            AdvertiseRefs: "advertise_refs",
            ListRefs: "list_refs",
            CheckWants: "check_wants",
            ResolveRefs: "resolve_refs",
            MeasureObjects: "measure_objects",
            ListBundles: "list_bundles",
            Traced: "trace",
            Deepen: "deepen",
            BeginNegotiation: "begin_negotiation",
            AddHaves: "add_haves",
            LeaveToUris: "leave_to_uris",
            SendPack: "send_pack",
        }
    )

    def __init__(
        self,
        repository: ReadableRepository,
        conversation: Conversation,
        *,
        tally: Tally | None = None,
        threads: int = 0,
        fetch_missing: Callable[[bytes], bool] | None = None,
        pack_cache: PackCacheOptions | None = None,
        hidden: Sequence[bytes] = (),
        gives_bundles: bool = False,
        homes: Homes | None = None,
        common: Sequence[bytes] = (),
    ) -> None:
        """``fetch_missing``: gets an object that is not here from where it is, if it can.
        ``hidden``: patterns of refs that are not there for this client, whatever is configured.
        ``homes``: where packs are made, if not always here. ``common``: what a negotiation found
        elsewhere.
        """
        self._repository = repository
        self._conversation = conversation
        self._threads = threads
        self._fetch_missing = fetch_missing
        self._pack_cache = pack_cache
        self._gives_bundles = gives_bundles and not hidden
        self._hidden = tuple(hidden)
        self._homes = homes
        self._common = common
        self.tally = tally or Tally()
        # refs first: what they name was stored before, so the objects' snapshot has it
        self._all_refs: RefSnapshot = without(repository.refs.snapshot(), hidden)
        self._looked_at: Snapshot | None = None
        """The objects, once one is asked for: a listing of refs that is remembered needs none."""
        patterns = hidden_patterns(repository.config, "uploadpack", repository.namespace)
        self.refs = self._all_refs.hidden(patterns) if patterns else self._all_refs
        """What this client may see."""
        self._negotiation: Negotiation | None = None
        self._left_out: tuple[bytes, ...] = ()
        """What the client was told to get elsewhere."""
        self._begun_stream: PackStream | None = None
        """The pack without that."""

    def close(self) -> None:
        """Tells the log what was found damaged."""
        if self._begun_stream is not None:
            self._begun_stream.close()
        if self._looked_at is not None:
            told = self.tally.warnings
            told += [one for one in self._looked_at.take_warnings() if one not in told]

    @property
    def _objects(self) -> Snapshot:
        """As they are when the first is asked for, and from then on."""
        if self._looked_at is None:
            self._looked_at = self._repository.objects.snapshot()
        return self._looked_at

    def agreed(self, effect: Agreed) -> None:
        """Any choice will do."""
        session_id = effect.capabilities.get(b"session-id")
        if session_id is not None:
            self.tally.traced.append(("client-sid", session_id.decode("utf-8", "replace")))

    def trace(self, effect: Traced) -> None:
        """For whoever wants to know."""
        self.tally.traced.append((effect.key, effect.value))

    def advertise_refs(self, effect: AdvertiseRefs) -> None:
        """v0 and v1: every visible ref."""
        said = upload_advertisement(
            self._repository,
            self.refs,
            self._objects,
            effect.capabilities,
            self._conversation.client,
        )
        for piece in said:
            self._conversation.write(piece)

    def list_refs(self, effect: ListRefs) -> None:
        """v2: the refs of some prefixes."""
        peel, symrefs, unborn = effect.peel, effect.symrefs, effect.unborn
        said = self.refs.remembered_ls_refs(
            effect.prefixes, peel=peel, symrefs=symrefs, unborn=unborn
        )
        if said is None:
            said = self.refs.ls_refs(
                self._objects,
                effect.prefixes,
                peel=peel,
                symrefs=symrefs,
                unborn=unborn,
                client=self._conversation.client,
            )
        self._conversation.write(said)

    def resolve_refs(self, effect: ResolveRefs) -> list[bytes | None]:
        """v2: wants by name."""
        return [self.refs.get(name) for name in effect.names]

    def measure_objects(self, effect: MeasureObjects) -> list[int | None]:
        """v2's object-info."""
        headers = map(self._objects.header, effect.ids)
        return [None if header is None else header[1] for header in headers]

    def list_bundles(self, _effect: ListBundles) -> list[bytes]:
        """v2's bundle-uri: what ``bundle.*`` says, as it stands there; else our own bundle."""
        settings = self._repository.config.section("bundle")
        if not settings and self._gives_bundles and isinstance(self._repository, NativeRepository):
            from gitserve.service.bundling import listed

            return listed(self._repository)
        return [os.fsencode(f"{key}={value}") for key, value in settings if value]

    def check_wants(self, effect: CheckWants) -> bytes | None:
        """The first want that the client may not have."""
        tips = self._all_refs if effect.hidden_tips else self.refs
        others = [want for want in effect.wants if not tips.has_tip(want)]
        if not others or effect.reach is WantReach.TIPS:
            return others[0] if others else None
        walked: list[bytes] = []
        for want in self._watched(others):
            header = self._objects.header(want)
            if header is None:
                return want
            if header[0] in ("commit", "tag"):
                # whether a tree or blob is reached is not asked, by git neither: a partial clone
                # wants them one by one, and v2 gives whatever is stored
                walked.append(want)
        if effect.reach is WantReach.ANY or not walked:
            return None
        shallow = self._repository.shallow
        with self._at_work():
            return all_reachable(
                self._objects, walked, (), shallow, refs=tips, client=self._conversation.client
            )

    def deepen(self, effect: Deepen) -> ShallowUpdate:
        """Where the history that the client gets will end."""
        ends: Sequence[bytes] = self._repository.shallow
        exclude: list[bytes] = []
        for name in effect.exclude:
            object_id = self._resolve(name)
            if object_id is None:
                return ShallowUpdate(unknown_ref=name)
            exclude.append(object_id)
        depth: int | None = effect.depth
        if effect.kind is DeepenKind.SINCE_OR_NOT:
            depth = None
        elif effect.kind is DeepenKind.NONE:
            if not ends:
                return ShallowUpdate()
            depth = INFINITE_DEPTH
            # who asks for no other depth keeps what he has, shallow as it is
            ends = (*ends, *effect.client_shallow)
        with self._at_work():
            shallow, unshallow = deepen(
                self._objects,
                effect.wants,
                effect.client_shallow,
                ends,
                depth=depth,
                relative=effect.relative,
                since=effect.since,
                exclude=exclude,
                client=self._conversation.client,
            )
        return ShallowUpdate(tuple(shallow), tuple(unshallow))

    def begin_negotiation(self, effect: BeginNegotiation) -> bool:
        """Fixes what is wanted."""
        wants = [*effect.wants]
        own = self._repository.shallow
        for commit_id in self._watched(effect.unshallow):
            if commit_id not in own:
                wants += _parents(self._objects, commit_id)
        client = self._conversation.client
        with self._at_work():
            self._negotiation = Negotiation(
                self._objects, wants, effect.boundary, own, client=client
            )
        return bool(own)

    def add_haves(self, effect: AddHaves) -> Common:
        """Which of these are common, and whether that is enough now."""
        negotiation = self._begun()
        with self._at_work():
            if not effect.find_ready_at:
                common = negotiation.add_haves(effect.haves)
                return Common(common, negotiation.ready())
            return _add_in_order(negotiation, self._objects, self._watched(effect.haves))

    def leave_to_uris(self, effect: LeaveToUris) -> Sequence[PackfileUri]:
        """Which objects go another way; the pack without them is begun."""
        from gitserve.service.elsewhere import elsewhere

        config = self._repository.config
        hex_length = HEX_LENGTHS[self._repository.object_format]
        places = elsewhere(config, effect.protocols, hex_length)
        while places:
            stream = self._pack_stream(effect.pack, None, tuple(places))
            begun = False
            try:
                self._left_out = tuple(stream.left_out())
            except Busy:
                self.tally.busy = True
                raise
            except MissingObject as error:
                if not self._recover(error):
                    raise
            else:
                self._begun_stream, begun = stream, True
                return [places[object_id] for object_id in self._left_out]
            finally:
                if not begun:
                    stream.close()
        return ()

    def send_pack(self, effect: SendPack) -> Generator[None, None, None]:
        """Streams the pack; the core's buffers go to the road as they are, one a step."""
        if self._is_made_at_home(effect):
            return
        write = self._conversation.write
        left_out, self._left_out = self._left_out, ()
        cache = None if left_out else self._opened_cache()
        while True:
            stream, self._begun_stream = self._begun_stream, None
            if stream is None:
                stream = self._pack_stream(effect, cache, left_out)
            try:
                for chunk in stream:
                    write(chunk)
                    if stream.urgent:
                        self._conversation.flush()
                    yield
            except Busy:
                self.tally.busy = True
                raise
            except MissingObject as error:
                if stream.pack_bytes or not self._recover(error):
                    raise
            else:
                return
            finally:
                self.tally.objects += stream.objects
                self.tally.pack_bytes += stream.pack_bytes
                if cache is not None:
                    self.tally.remembered = shown(cache, stream)
                stream.close()

    def _is_made_at_home(self, effect: SendPack) -> bool:
        """Has the process made it where this repository's packs are made?"""
        repository = self._repository
        if self._homes is None or self._begun_stream is not None:
            return False
        if not isinstance(repository, NativeRepository) or repository.namespace:
            return False
        if self._homes.is_here(repository.common_dir):
            return False
        location = Location(repository.git_dir, repository.common_dir)
        order = Order(location, effect, tuple(self._found_common()), self._hidden)
        outcome = self._homes.make(order, self._conversation)
        if outcome is None or outcome.may_be_tried_again:
            return False
        self.tally.objects += outcome.objects
        self.tally.pack_bytes += outcome.pack_bytes
        self.tally.remembered = outcome.remembered
        self.tally.warnings += outcome.warnings
        if outcome.trouble is not None:
            self.tally.busy = issubclass(outcome.trouble.type, Busy)
            raise outcome.trouble.error()  # without a name, which would hold what holds this frame
        return True

    def _found_common(self) -> Sequence[bytes]:
        return self._common if self._negotiation is None else self._negotiation.common()

    def _recover(self, error: MissingObject) -> bool:
        """Could what is missing be got after all?"""
        if self._fetch_missing is None:
            return False
        lengths = HEX_LENGTHS.values()
        ids = [word for word in str(error).encode().split() if len(word) in lengths]
        return bool(ids) and self._fetch_missing(ids[0])

    def _opened_cache(self) -> PackCache | None:
        if self._pack_cache is None:
            return None
        try:
            return opened(self._pack_cache)
        except OSError as error:  # the request is answered without
            self.tally.warnings.append(f"pack cache: {error}")
            return None

    def _pack_stream(
        self, effect: SendPack, cache: PackCache | None, leave_out: Sequence[bytes]
    ) -> PackStream:
        PROCESSORS.spread()
        config = self._repository.config
        rules = config.derived(pack_rules)
        return PackStream(
            self._objects,
            effect.wants,
            self._found_common(),
            client_shallow=effect.client_shallow,
            server_shallow=self._repository.shallow,
            shallow=effect.shallow_update.shallow,
            unshallow=effect.shallow_update.unshallow,
            filter_spec=self._filter_spec(effect.filter_spec),
            thin=effect.thin,
            ofs_delta=effect.ofs_delta,
            include_tag=self.refs if effect.include_tag else None,
            progress=effect.progress,
            band_limit=effect.framing.value,
            keepalive=float(config.get_int("uploadpack.keepalive", 5)),
            threads=self._threads or rules.threads,
            sideband_all=effect.sideband_all,
            use_bitmaps=rules.use_bitmaps,
            client=self._conversation.client,
            leave_missing=effect.leave_missing,
            cache=cache,
            leave_out=leave_out,
            window=rules.window,
            depth=rules.depth,
            window_memory=rules.window_memory,
            level=rules.level,
            big_file_threshold=rules.big_file_threshold,
            reuse_packs=rules.reuse_packs,
        )

    def _filter_spec(self, spec: bytes | None) -> bytes | None:
        """With ids where it had names."""
        if spec is None or not filter_spec.has_sparse(spec):
            return spec
        from gitserve.service.sparse import settled

        return settled(spec, self._objects, self.refs)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """While the core walks, which may find that it would have to wait too long for its turn."""
        PROCESSORS.spread()
        try:
            yield
        except Busy:
            self.tally.busy = True
            raise

    def _watched(self, ids: Iterable[bytes]) -> Iterator[bytes]:
        """The same, for as long as there is a client."""
        client = self._conversation.client
        for object_id in ids:
            if client is not None:
                client.look()
            yield object_id

    def _begun(self) -> Negotiation:
        if self._negotiation is None:
            raise InternalError("haves before the negotiation has begun")
        return self._negotiation

    def _resolve(self, name: bytes) -> bytes | None:
        """The value of a ref named in short; None unless exactly one visible ref is meant."""
        names = [rule % name for rule in _REF_RULES]
        found = [value for full in names if (value := self.refs.get(full)) is not None]
        return found[0] if len(found) == 1 else None


def _parents(objects: Snapshot, commit_id: bytes) -> list[bytes]:
    lines = objects.read(commit_id)[1].partition(b"\n\n")[0].split(b"\n")
    return [line[len(b"parent ") :] for line in lines if line.startswith(b"parent ")]


def _add_in_order(negotiation: Negotiation, objects: Snapshot, haves: Iterable[bytes]) -> Common:
    """As :meth:`UploadService.add_haves`, and at which unknown have it became enough.

    v0 answers each have by itself: one that the server lacks gets an ACK too once the rest is
    enough, so the question has to be asked where such a have stands, not at the end.
    """
    common: list[bytes] = []
    run: list[bytes] = []
    ready_at: int | None = None
    asked = False
    for index, have in enumerate(haves):
        if objects.is_usable(have):
            run.append(have)
            asked = False
            continue
        if run:
            common += negotiation.add_haves(run)
            run = []
        if not asked and ready_at is None:
            asked = True
            if negotiation.ready():
                ready_at = index
    if run:
        common += negotiation.add_haves(run)
    return Common(common, negotiation.ready(), ready_at)
