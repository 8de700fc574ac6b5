"""Repositories that choose themselves what is sent.

In: a repository with a ``find_missing_objects`` (or, before dulwich 0.21, ``fetch_objects``) of its
own, and a session. Out: a pack of the objects it named, in its order.

Such a repository is in charge: it calls ``determine_wants`` with the refs to tell, then asks a
graph walker for haves one by one and acknowledges those it knows. Where the client's history is to
end, the walker's ``shallow`` says, and ``unshallow`` where it no longer does; ``depth`` stays None,
as with dulwich's server. The session is a generator, so it can wait while the repository thinks:
:class:`_Steps` runs it to the next effect that the repository has to answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha1, sha256
from typing import Any

from gitserve._core import Negotiation, RefSnapshot
from gitserve.dropin.words import (
    CAPABILITY_INCLUDE_TAG,
    CAPABILITY_NO_PROGRESS,
    CAPABILITY_SIDE_BAND_64K,
)
from gitserve.errors import GitServeError, InternalError
from gitserve.repository.foreign import ForeignRepository
from gitserve.repository.hiderefs import without
from gitserve.repository.native import NativeRepository
from gitserve.service.streams import Conversation, joined
from gitserve.service.upload import UploadService
from gitserve.session.config import UploadConfig
from gitserve.session.effects import (
    AddHaves,
    AdvertiseRefs,
    Agreed,
    BeginNegotiation,
    CheckWants,
    Common,
    Deepen,
    Dialogue,
    Effect,
    Flush,
    Framing,
    Read,
    Send,
    SendPack,
    ShallowUpdate,
)
from gitserve.session.upload_v0 import upload_v0
from gitserve.session.upload_v2 import upload_v2
from gitserve.wire import sideband
from gitserve.wire.sideband import Band

_STOPS = (BeginNegotiation, AddHaves, SendPack)
_PIECE = 256 << 10
"""Bytes of pack gathered before they leave."""


def serve_asking(
    handler: Any,
    repository: NativeRepository | ForeignRepository,
    conversation: Conversation,
    config: UploadConfig,
    version: int,
    choose: Callable[..., Any],
) -> None:
    """One fetch. ``choose``: the repository's own method. Raises what went wrong, once told."""
    service = _Service(handler, repository, conversation)
    dialogue = upload_v2(config) if version == 2 else upload_v0(config, version=version)
    steps = _Steps(dialogue, conversation, service)
    try:
        if version == 2:
            # refs have been told, and wants checked, before there is anything to choose from
            while steps.next() is not None:
                _choose_and_send(handler, service, steps, choose, v2=True)
                steps.reply(None)
        else:
            _choose_and_send(handler, service, steps, choose, v2=False)
            steps.finish()
    except Exception as error:  # noqa: BLE001 - a repository's own; the client hears of it first
        steps.fail(error)


def _choose_and_send(
    handler: Any, service: _Service, steps: _Steps, choose: Callable[..., Any], *, v2: bool
) -> None:
    walker = _Walker(handler, service, steps, v2=v2)
    chosen = choose(walker.determine_wants, walker, handler.progress, get_tagged=handler.get_tagged)
    if not walker.wants:
        return
    if chosen is not None:
        chosen = list(chosen)
    while walker.next() is not None:
        pass  # a repository need not ask for all haves, but the client wants to say them
    effect = steps.at
    if not isinstance(effect, SendPack) or chosen is None:
        return
    handler._sending = effect.framing is not Framing.NONE and effect.progress
    service.send(chosen, effect.framing)


class _Steps:
    """A session, run as far as the next effect that is not the service's."""

    def __init__(self, dialogue: Dialogue, conversation: Conversation, service: _Service) -> None:
        self._dialogue = dialogue
        self._conversation = conversation
        self._service = service
        self._reply: Any = None
        self._thrown: Exception | None = None
        self.at: Effect | None = None
        """The effect that waits for a reply."""

    def reply(self, value: object) -> None:
        """Answers the effect that waits."""
        self._reply, self.at = value, None

    def next(self) -> Effect | None:
        """The effect that waits, or the next one that will; None when the session is over."""
        while self.at is None:
            try:
                if self._thrown is None:
                    effect = self._dialogue.send(self._reply)
                else:
                    thrown, self._thrown = self._thrown, None
                    effect = self._dialogue.throw(thrown)
            except StopIteration:
                self._conversation.flush()
                return None
            self._reply = None
            if isinstance(effect, _STOPS):
                self.at = effect
            else:
                self._perform(effect)
        return self.at

    def finish(self) -> None:
        """The effect that waits is done; so is the rest."""
        self.reply(None)
        while self.next() is not None:
            self.reply(None)

    def fail(self, error: Exception) -> None:
        """Tells the client through the session, and raises."""
        if not isinstance(error, GitServeError):
            wrapped = InternalError(f"{type(error).__name__}: {error}")
            wrapped.__cause__ = error
            error = wrapped
        if self.at is None:
            raise error  # the session raised it, and has told
        self._thrown, self.at = error, None
        self.next()
        raise error

    def _perform(self, effect: Effect) -> None:
        try:
            if isinstance(effect, Send):
                self._conversation.write(effect.data)
            elif isinstance(effect, Read):
                self._reply = self._conversation.read_run()
            elif isinstance(effect, Flush):
                self._conversation.flush()
            else:
                perform = getattr(self._service, self._service.performs[type(effect)])
                self._reply = perform(effect)
        except GitServeError as error:
            self._thrown = error


class _Walker:
    """What dulwich calls a graph walker: the client's haves, as the repository asks for them."""

    def __init__(self, handler: Any, service: _Service, steps: _Steps, *, v2: bool) -> None:
        self.handler = handler
        self._v2 = v2
        self.wants: list[bytes] = []
        self.shallow: set[bytes] = set()
        self.client_shallow: set[bytes] = set()
        self.unshallow: set[bytes] = set()
        self._service = service
        self._steps = steps
        self._haves: Iterator[bytes] = iter(())
        self._acknowledged: list[bytes] = []
        self._negotiation: Negotiation | None = None

    def determine_wants(
        self,
        refs: Mapping[bytes, bytes],
        depth: int | None = None,  # noqa: ARG002
    ) -> list[bytes]:
        """Tells these refs, if they have not been told; what the client wants of them."""
        self._service.tell = {bytes(name): bytes(value) for name, value in refs.items()}
        effect = self._steps.next()
        if not isinstance(effect, BeginNegotiation):
            return []
        self.wants = list(effect.wants)
        self.client_shallow.update(effect.client_shallow, effect.unshallow)
        self._begin(effect)
        self._learn(None)
        return list(self.wants)

    def _begin(self, effect: BeginNegotiation) -> None:
        repository = self._service.repository
        self._negotiation = Negotiation(
            repository.objects.snapshot(), effect.wants, effect.client_shallow, repository.shallow
        )
        self._steps.reply(bool(repository.shallow))

    def next(self) -> bytes | None:
        """The next have; None when the client has told enough.

        A client whose history ends somewhere does not have what is beyond, which a repository
        cannot be expected to think of: it hears of no haves then, as dulwich's drops them.
        """
        while True:
            if not self.client_shallow:
                for have in self._haves:
                    return have
            if isinstance(self._steps.at, AddHaves):
                self._steps.reply(self._common())
            effect = self._steps.next()
            self._learn(effect)
            if isinstance(effect, AddHaves):
                self._haves = iter(effect.haves)
            elif isinstance(effect, BeginNegotiation) and self._negotiation is not None:
                # v2: the same fetch, with more haves
                self._steps.reply(bool(self._service.repository.shallow))
            else:
                return None

    def _learn(self, effect: Effect | None) -> None:
        """What the client has said beside haves; version 2 says it last, and in no capabilities."""
        boundary = self._service.boundary
        self.unshallow.update(boundary.unshallow)
        self.shallow.update(self.client_shallow, boundary.shallow)
        self.shallow.difference_update(boundary.unshallow)
        if not self._v2:
            return
        chosen = {CAPABILITY_SIDE_BAND_64K}
        if isinstance(effect, SendPack):
            if effect.include_tag:
                chosen.add(CAPABILITY_INCLUDE_TAG)
            if not effect.progress:
                chosen.add(CAPABILITY_NO_PROGRESS)
        self.handler._client_capabilities = chosen

    def __next__(self) -> bytes | None:
        return self.next()

    def ack(self, have_ref: bytes) -> None:
        """The repository has this one."""
        self._acknowledged.append(have_ref)

    def nak(self) -> None:
        """The repository has not."""

    def reset(self) -> None:
        """A client says its haves once."""

    def _common(self) -> Common:
        common, self._acknowledged = self._acknowledged, []
        if self._negotiation is None:
            return Common(common, False)
        self._negotiation.add_haves(common)
        return Common(common, self._negotiation.ready())


class _Service(UploadService):
    """Refs as the repository tells them; a pack of what it chose."""

    def __init__(
        self,
        handler: Any,
        repository: NativeRepository | ForeignRepository,
        conversation: Conversation,
    ) -> None:
        super().__init__(repository, conversation, tally=handler.tally, hidden=handler.hidden)
        self.repository = repository
        self.tell: dict[bytes, bytes] | None = None
        """The refs that the repository wants told, once it has said so."""
        self.boundary = ShallowUpdate()
        """Where the client has been told that its history will end."""
        self._handler = handler

    def agreed(self, effect: Agreed) -> None:
        self._handler._agree(effect.capabilities)

    def advertise_refs(self, effect: AdvertiseRefs) -> None:
        self._use_told()
        offered = self._handler._advertised(effect.capabilities)
        super().advertise_refs(AdvertiseRefs(offered, effect.receive))

    def deepen(self, effect: Deepen) -> ShallowUpdate:
        self.boundary = super().deepen(effect)
        return self.boundary

    def check_wants(self, effect: CheckWants) -> bytes | None:
        self._use_told()
        return super().check_wants(effect)

    def _use_told(self) -> None:
        if self.tell is not None:
            pairs = [(name, value) for name, value in self.tell.items() if name != b"HEAD"]
            head = self.refs.symbolic(b"HEAD")
            if head not in self.tell or b"HEAD" not in self.tell:
                head = self.tell.get(b"HEAD")
            told = RefSnapshot.given(pairs, head, self.repository.object_format, before=self.refs)
            self.refs = without(told, self._handler.hidden)
            self.tell = None

    def send(self, chosen: list[Any], framing: Framing) -> None:
        """The pack, each object whole: which deltas would do is not asked of strangers."""
        hashed = sha256() if self.repository.object_format == "sha256" else sha1(
            usedforsecurity=False
        )  # fmt: skip
        write = self._writer(framing)
        for piece in joined(_pack(chosen, _reader(self._handler.repo)), _PIECE):
            hashed.update(piece)
            write(piece)
        write(hashed.digest())
        self.tally.objects += len(chosen)

    def _writer(self, framing: Framing) -> Callable[[bytes], None]:
        conversation = self._conversation
        if framing is Framing.NONE:
            return conversation.write
        return lambda data: conversation.write(sideband.encode(Band.DATA, data, framing.value))


def _pack(chosen: list[Any], read: Callable[[bytes], tuple[int, bytes]]) -> Iterator[bytes]:
    """The pieces of a pack, trailer left out. Git's document: gitformat-pack."""
    yield b"PACK" + (2).to_bytes(4, "big") + len(chosen).to_bytes(4, "big")
    for item in chosen:
        # (id, hint), (object, path), or one of them alone
        thing = item[0] if isinstance(item, tuple) else item
        if isinstance(thing, bytes):
            kind, content = read(thing)
        else:
            kind, content = thing.type_num, thing.as_raw_string()
        yield _entry_header(kind, len(content))
        yield zlib.compress(content)


def _entry_header(kind: int, size: int) -> bytes:
    first = kind << 4 | size & 15
    size >>= 4
    header = bytearray()
    while size:
        header.append(first | 0x80)
        first = size & 0x7F
        size >>= 7
    header.append(first)
    return bytes(header)


def _reader(repo: Any) -> Callable[[bytes], tuple[int, bytes]]:
    store = repo.object_store
    if hasattr(store, "get_raw"):
        get_raw: Callable[[bytes], tuple[int, bytes]] = store.get_raw
        return get_raw

    def read(object_id: bytes) -> tuple[int, bytes]:
        found = store[object_id]
        return found.type_num, found.as_raw_string()

    return read
