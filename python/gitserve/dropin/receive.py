"""``ReceivePackHandler``: pushes.

In: as :mod:`.handlers`. Out: objects and refs that are there to stay, and a true report. The
dialogue is :mod:`gitserve.session`'s, the work :mod:`gitserve.service.receive`'s, or, for a
repository that is no folder, :mod:`gitserve.service.foreign_push`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from gitserve._core import Snapshot
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
from gitserve.dropin.lines import capability_agent
from gitserve.dropin.road import converse, hang_up
from gitserve.dropin.served import python_hook, served
from gitserve.dropin.waiting import waiting_objects_seen
from gitserve.dropin.words import (
    CAPABILITY_NO_DONE,
    CAPABILITY_SIDE_BAND_64K,
    SIDE_BAND_CHANNEL_PROGRESS,
)
from gitserve.errors import HookError
from gitserve.repository.foreign import ForeignRepository
from gitserve.repository.readable import ReadableRepository
from gitserve.service.driver import drive
from gitserve.service.foreign_push import ForeignReceiveService
from gitserve.service.hooks import AsksHooks
from gitserve.service.policy import Deny
from gitserve.service.push import Push
from gitserve.service.receive import ReceiveService
from gitserve.service.remarks import Remarks
from gitserve.service.requests import Manner, receive_config
from gitserve.service.tally import Tally
from gitserve.session.config import ReceiveConfig
from gitserve.session.effects import AdvertiseRefs, Agreed
from gitserve.session.receive import capabilities, receive
from gitserve.wire.receive_commands import Command

Triple = tuple[bytes, bytes, bytes]
"""Old id, new id, ref."""


class ReceivePackHandler(PackHandler):
    """Takes what a client brings."""

    service = "receive-pack"

    unset_deny: ClassVar[Deny] = Deny.IGNORE
    """Pushes to the current branch, where ``receive.denyCurrentBranch`` and ``denyDeleteCurrent``
    are not configured: they are done, as ever in dulwich."""

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
        """As :class:`~gitserve.dropin.upload.UploadPackHandler`."""
        super().__init__(backend, proto, stateless_rpc, http_req=http_req)
        self.path = repository_path(args)
        self.repo = backend.open_repository(self.path)
        self.advertise_refs = advertise_refs
        self.tally = Tally()
        """What the request cost."""
        self.incoming: Snapshot | None = None
        """While hooks are asked: the repository's objects and those that wait to be accepted.
        ``repo.object_store`` finds them, too."""
        self._version = asked_version(args)
        self._remarks: Remarks | None = None

    @EitherMethod
    def capabilities(of: Any) -> Words:  # noqa: N805 - an instance or the class
        """What is offered, without ``agent``, which is added."""
        if isinstance(of, type):
            config = ReceiveConfig()
            left_out: tuple[bytes, ...] = (b"agent=", b"object-format=")
        else:
            config = of._config(served(of.repo))
            left_out = (b"agent=",)
        # a word of upload-pack that says nothing here; dulwich offers it, so people test for it
        offered = [CAPABILITY_NO_DONE, *capabilities(config).split(b" ")]
        return Words(word for word in offered if not word.startswith(left_out))

    def handle(self) -> None:
        """Serves one push. Raises what went wrong, once the client has been told."""
        self.admit()
        conversation = converse(self.proto, stateless=self.stateless_rpc)
        repository = served(self.repo)
        service: _Service | _ForeignService
        if isinstance(repository, ForeignRepository):
            service = _ForeignService(
                self, repository, conversation, tally=self.tally, unset_deny=self.unset_deny,
                policy=self.options.policy, request=self.asking, hidden=self.hidden,
            )  # fmt: skip
        else:
            service = _Service(
                repository,
                conversation,
                tally=self.tally,
                hook_rules=self.options.hooks,
                threads=self.options.threads,
                ask_also=lambda hooks, push: _Hooks(self, hooks, push),
                unset_deny=self.unset_deny,
                policy=self.options.policy,
                request=self.asking,
                hidden=self.hidden,
            )
            service.handler = self
        dialogue = receive(self._config(repository), version=1 if self._version == 1 else 0)
        try:
            with own_errors():
                drive(dialogue, conversation, service)
        finally:
            service.close()
            hang_up(self.proto, conversation)

    def _config(self, repository: ReadableRepository) -> ReceiveConfig:
        manner = Manner(self._version, self.stateless_rpc, self.advertise_refs)
        return receive_config(repository, manner, self.options)

    def _advertised(self, offered: bytes) -> bytes:
        """What somebody's own ``capabilities`` makes of our offer."""
        if not changed(self, ReceivePackHandler, ("capabilities",)):
            return offered + b" " + CAPABILITY_NO_DONE
        words = list(self.capabilities())
        if not any(word.startswith(b"agent=") for word in words):
            words.append(capability_agent())
        return b" ".join(words)

    def _on_pre_receive(self, client_refs: list[Triple]) -> None:
        """Asks the program's own hook. Raises HookError when the push may not go on."""
        self._ask("pre-receive", client_refs)

    def _on_update(self, ref_name: bytes, old_sha: bytes, new_sha: bytes) -> bytes | None:
        """Asks the program's own hook; its words when this ref may not move."""
        try:
            self._ask("update", ref_name, old_sha, new_sha)
        except HookError as error:
            return str(error).encode("utf-8")
        return None

    def _on_post_receive(self, client_refs: list[Triple]) -> None:
        """Tells the program's own hook."""
        self._ask("post-receive", client_refs)

    def _ask(self, name: str, *arguments: object) -> None:
        hook = python_hook(self.repo, name)
        if hook is None:
            return
        said = hook.execute(*arguments)
        for text in said if isinstance(said, tuple) else (said,):
            if isinstance(text, bytes) and text:
                self._say(text)

    def _say(self, text: bytes) -> None:
        if self._remarks is not None:
            self._remarks.say_if_heard(text)
        elif self._client_capabilities and self.has_capability(CAPABILITY_SIDE_BAND_64K):
            self.proto.write_sideband(SIDE_BAND_CHANNEL_PROGRESS, text)

    def _may(self, commands: Sequence[Command], remarks: Remarks) -> bool:
        self._remarks = remarks
        try:
            self._on_pre_receive(_triples(commands))
        except HookError as error:
            remarks.error(str(error).encode("utf-8", "replace"))
            return False
        return True

    def _may_one(self, command: Command, remarks: Remarks) -> bool:
        self._remarks = remarks
        word = self._on_update(command.ref, command.old, command.new)
        if word is not None:
            remarks.error(bytes(word))
        return word is None

    def _told(self, commands: Sequence[Command], remarks: Remarks) -> None:
        self._remarks = remarks
        try:
            self._on_post_receive(_triples(commands))
        except HookError as error:
            remarks.say_if_heard(b"error: %b\n" % str(error).encode("utf-8", "replace"))


class _Service(ReceiveService):
    """The service, which asks the handler about capabilities and hooks."""

    handler: ReceivePackHandler

    def agreed(self, effect: Agreed) -> None:
        self.handler._agree(effect.capabilities)

    def advertise_refs(self, effect: AdvertiseRefs) -> None:
        offered = self.handler._advertised(effect.capabilities)
        super().advertise_refs(AdvertiseRefs(offered, effect.receive))


class _Hooks:
    """The repository's executables first, then the handler's methods."""

    def __init__(self, handler: ReceivePackHandler, hooks: AsksHooks, push: Push) -> None:
        self._handler = handler
        self._hooks = hooks
        self._push = push

    def pre_receive(self, commands: Sequence[Command], remarks: Remarks) -> bool:
        """See :class:`~gitserve.service.hooks.AsksHooks`."""
        if not self._hooks.pre_receive(commands, remarks):
            return False
        self._handler.incoming = self._push.objects()
        with waiting_objects_seen(self._handler.repo, self._push):
            return self._handler._may(commands, remarks)

    def update(self, command: Command, remarks: Remarks) -> bool:
        """See :class:`~gitserve.service.hooks.AsksHooks`."""
        if not self._hooks.update(command, remarks):
            return False
        handler = self._handler
        asked = changed(handler, ReceivePackHandler, _OF_UPDATES)
        if not asked and python_hook(handler.repo, "update") is None:
            return True  # there may be thousands of refs
        with waiting_objects_seen(handler.repo, self._push):
            return handler._may_one(command, remarks)

    def post_receive(self, commands: Sequence[Command], remarks: Remarks) -> None:
        """See :class:`~gitserve.service.hooks.AsksHooks`."""
        self._handler.incoming = None
        self._hooks.post_receive(commands, remarks)
        self._handler._told(commands, remarks)

    def post_update(self, commands: Sequence[Command], remarks: Remarks) -> None:
        """See :class:`~gitserve.service.hooks.AsksHooks`."""
        self._hooks.post_update(commands, remarks)


class _ForeignService(ForeignReceiveService):
    """As :class:`_Service`, for a repository that is no folder."""

    def __init__(self, handler: ReceivePackHandler, *arguments: Any, **options: Any) -> None:
        self.handler = handler
        super().__init__(*arguments, **options)

    def agreed(self, effect: Agreed) -> None:
        self.handler._agree(effect.capabilities)

    def advertise_refs(self, effect: AdvertiseRefs) -> None:
        offered = self.handler._advertised(effect.capabilities)
        super().advertise_refs(AdvertiseRefs(offered, effect.receive))

    def _hook(self, name: str, remarks: Remarks, *arguments: Any) -> bool:
        handler = self.handler
        if name == "update":
            ref, old, new = arguments
            return handler._may_one(Command(ref, old, new), remarks)
        commands = [Command(ref, old, new) for old, new, ref in arguments[0]]
        if name == "pre-receive":
            return handler._may(commands, remarks)
        handler._told(commands, remarks)
        return True


def _triples(commands: Sequence[Command]) -> list[Triple]:
    return [(command.old, command.new, command.ref) for command in commands]


_OF_UPDATES = ("_on_update", "_ask")
remember(ReceivePackHandler, (*SPEAKING, *_OF_UPDATES))
