"""``UploadPackHandler``: clones and fetches.

In: as :mod:`.handlers`. Out: the client has its pack. The dialogue is :mod:`gitserve.session`'s,
the work :mod:`gitserve.service.upload`'s, or, where a repository wants to choose what is sent,
:mod:`.asking`'s.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitserve._core import RefSnapshot
from gitserve.dropin.asking import serve_asking
from gitserve.dropin.handlers import (
    SPEAKING,
    EitherMethod,
    PackHandler,
    Words,
    asked_version,
    changed,
    own_errors,
    remember,
    repository_path,
)
from gitserve.dropin.lines import capability_agent, find_capability
from gitserve.dropin.road import converse, hang_up, speaks_v2
from gitserve.dropin.served import chooser, served
from gitserve.dropin.words import (
    CAPABILITY_FILTER,
    CAPABILITY_INCLUDE_TAG,
    CAPABILITY_NO_PROGRESS,
    CAPABILITY_SIDE_BAND_64K,
    SIDE_BAND_CHANNEL_PROGRESS,
)
from gitserve.errors import GitProtocolError
from gitserve.repository.foreign import ForeignRepository
from gitserve.repository.hiderefs import without
from gitserve.repository.native import NativeRepository
from gitserve.repository.readable import ReadableRepository
from gitserve.service.driver import drive
from gitserve.service.requests import Manner, upload_config
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.service.upload import UploadService
from gitserve.session.config import UploadConfig
from gitserve.session.effects import AdvertiseRefs, Agreed
from gitserve.session.upload_v0 import capabilities, upload_v0
from gitserve.session.upload_v2 import upload_v2


class UploadPackHandler(PackHandler):
    """Sends a client what it lacks."""

    service = "upload-pack"

    def __init__(
        self,
        backend: Any,
        args: Sequence[Any],
        proto: Any,
        stateless_rpc: Any = False,
        advertise_refs: bool = False,
        *,
        http_req: Any = None,
    ) -> None:
        """``args``: the repository's path, then git://'s parameters. Raises NotGitRepository.
        ``advertise_refs``: tell the refs and end."""
        super().__init__(backend, proto, stateless_rpc, http_req=http_req)
        self.path = repository_path(args)
        self.repo = backend.open_repository(self.path)
        self.advertise_refs = advertise_refs
        self.tally = Tally()
        """What the request cost."""
        self.filter_spec: Any = None
        """What the client leaves out, once it has said so among its capabilities: dulwich's filter
        object where ``dulwich.object_filters`` is in use, else the words themselves."""
        self._version = asked_version(args)
        self._sending = False

    @EitherMethod
    def capabilities(of: Any) -> Words:  # noqa: N805 - an instance or the class
        """What is offered, without ``symref`` and ``agent``, which are added."""
        if isinstance(of, type):
            config = UploadConfig(allow_filter=True)
            left_out: tuple[bytes, ...] = (b"symref=", b"agent=", b"object-format=")
        else:
            repository = served(of.repo)
            none = RefSnapshot.given([], None, repository.object_format)
            config = of._config(repository, none, of._version)
            left_out = (b"symref=", b"agent=")
        offered = capabilities(config).split(b" ")
        return Words(word for word in offered if not word.startswith(left_out))

    def set_client_capabilities(self, caps: Iterable[bytes]) -> None:
        """See :meth:`.PackHandler.set_client_capabilities`; and raises for an unknown filter."""
        chosen = list(caps)
        super().set_client_capabilities(chosen)
        spec = find_capability(chosen, CAPABILITY_FILTER)
        if spec is not None and spec != CAPABILITY_FILTER:
            self.filter_spec = _parsed_filter(spec)

    def progress(self, message: bytes) -> None:
        """A line for the person who waits; lost unless the client listens to it now."""
        if self._sending and not self.has_capability(CAPABILITY_NO_PROGRESS):
            self.proto.write_sideband(SIDE_BAND_CHANNEL_PROGRESS, message)

    def get_tagged(
        self, refs: Mapping[bytes, bytes] | None = None, repo: Any = None
    ) -> dict[bytes, bytes]:
        """What each tag peels to, and the tag's id; nothing for a client without include-tag."""
        if not self.has_capability(CAPABILITY_INCLUDE_TAG):
            return {}
        asked = self.repo if repo is None else repo
        tagged: dict[bytes, bytes] = {}
        for name, value in (asked.get_refs() if refs is None else refs).items():
            try:
                peeled = asked.get_peeled(name)
            except KeyError:
                continue
            if peeled is not None and peeled != value:
                tagged[peeled] = value
        return tagged

    def handle(self) -> None:
        """Serves one fetch or clone. Raises what went wrong, once the client has been told."""
        self.admit()
        conversation = converse(self.proto, stateless=self.stateless_rpc)
        repository = served(self.repo)
        version = self._version
        if version == 2 and (
            not speaks_v2(conversation) or changed(self, UploadPackHandler, SPEAKING)
        ):
            version = 0
        try:
            with own_errors():
                self._serve(repository, conversation, version)
        finally:
            hang_up(self.proto, conversation)

    def _serve(
        self,
        repository: NativeRepository | ForeignRepository,
        conversation: Conversation,
        version: int,
    ) -> None:
        choose = chooser(self.repo)
        if choose is not None:
            refs = without(repository.refs.snapshot(), self.hidden)
            config = self._config(repository, refs, version)
            serve_asking(self, repository, conversation, config, version, choose)
            return
        service = _Service(self, repository, conversation)
        config = self._config(repository, service.refs, version)
        dialogue = upload_v2(config) if version == 2 else upload_v0(config, version=version)
        drive(dialogue, conversation, service)

    def _config(
        self, repository: ReadableRepository, refs: RefSnapshot, version: int
    ) -> UploadConfig:
        """dulwich offers filters always; here too, unless the repository says no, or chooses itself
        what is sent."""
        manner = Manner(version, self.stateless_rpc, self.advertise_refs, self.asking, self.hidden)
        config = upload_config(repository, refs, manner, self.options)
        if chooser(self.repo) is not None:
            config = config.but(allow_filter=False)
        elif repository.config.get_optional_bool("uploadpack.allowfilter") is None:
            config = config.but(allow_filter=True)
        return config

    def _advertised(self, offered: bytes) -> bytes:
        """What somebody's own ``capabilities`` makes of our offer."""
        if not changed(self, UploadPackHandler, ("capabilities",)):
            return offered
        words = list(self.capabilities())
        words += [word for word in offered.split(b" ") if word.startswith(b"symref=")]
        if not any(word.startswith(b"agent=") for word in words):
            words.append(capability_agent())
        return b" ".join(words)

    def _start_pack_send_phase(self) -> None:
        """From here on the client reads bands."""
        self._sending = self.has_capability(CAPABILITY_SIDE_BAND_64K)


def _parsed_filter(spec: bytes) -> Any:
    if spec.partition(b":")[0] not in (b"blob", b"tree", b"object", b"sparse", b"combine"):
        raise GitProtocolError(f"Invalid filter specification: {spec!r}")
    parse = getattr(sys.modules.get("dulwich.object_filters"), "parse_filter_spec", None)
    try:
        return spec if parse is None else parse(spec)
    except ValueError as error:
        raise GitProtocolError(f"Invalid filter specification: {error}") from error


class _Service(UploadService):
    """The service, which asks the handler about capabilities."""

    def __init__(
        self, handler: UploadPackHandler, repository: ReadableRepository, conversation: Conversation
    ) -> None:
        self._handler = handler
        super().__init__(
            repository,
            conversation,
            tally=handler.tally,
            threads=handler.options.threads,
            hidden=handler.hidden,
        )

    def agreed(self, effect: Agreed) -> None:
        self._handler._agree(effect.capabilities)

    def advertise_refs(self, effect: AdvertiseRefs) -> None:
        offered = self._handler._advertised(effect.capabilities)
        super().advertise_refs(AdvertiseRefs(offered, effect.receive))


remember(UploadPackHandler, SPEAKING)
