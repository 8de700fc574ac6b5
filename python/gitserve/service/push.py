"""The state of one push, from its first command to its last hook.

In: the repository as the push found it. Out: what its stages need of each other: the quarantine,
the hooks, the way to the person at the other end. Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Callable

from gitserve._core import Quarantine, RefSnapshot, Snapshot
from gitserve.options import HookRules
from gitserve.record import TYPE_CHECKING
from gitserve.repository.native import NativeRepository
from gitserve.repository.sharing import sharing
from gitserve.repository.syncrules import sync_rules
from gitserve.service.hooks import AsksHooks, Hooks
from gitserve.service.policy import Deny
from gitserve.service.remarks import Aside, Remarks
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.session.effects import Framing
from gitserve.wire.receive_commands import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitserve.service.permission import Judge
    from gitserve.service.signed_push import SignedPush


class Push:
    """One push."""

    def __init__(
        self,
        repository: NativeRepository,
        conversation: Conversation,
        refs: RefSnapshot,
        tally: Tally,
        hook_rules: HookRules,
        aside: Aside,
        ask_also: Callable[[AsksHooks, Push], AsksHooks] | None = None,
        unset_deny: Deny = Deny.UNSET,
        check_connectivity: bool = True,
    ) -> None:
        self.repository = repository
        self.conversation = conversation
        self.refs = refs
        """As they were when the client connected, hidden ones too."""
        self.tally = tally
        self.hook_rules = hook_rules
        self.aside = aside
        self.ask_also = ask_also
        """Whoever embeds the server may have hooks of its own beside the repository's."""
        self.unset_deny = unset_deny
        """What happens to the current branch where the repository is not configured."""
        self.check_connectivity = check_connectivity
        self.hidden: tuple[bytes, ...] = ()
        """Patterns of refs that the operator's policy hides from this pusher."""
        self.judge: Judge | None = None
        """Speaks for the operator's policy."""
        self.quarantine: Quarantine | None = None
        self.published = False
        """What was in quarantine is in the repository."""
        self.push_options: tuple[bytes, ...] = ()
        self.signed: SignedPush | None = None
        self.certificate_kept = False
        """There is a certificate among what waits in quarantine."""
        self.decided = False
        """Whatever was to be done has been done or refused."""
        self._certificate_variables: Mapping[bytes, bytes] | None = None
        self.done: list[Command] = []
        """What was asked for and has been done, for the hooks that follow."""

    def remarks(self, framing: Framing) -> Remarks:
        """The way to the person who pushes."""
        return Remarks(self.conversation, framing, self.aside)

    @property
    def keep_alive(self) -> float:
        """Seconds of silence that a client is spared (``receive.keepAlive``)."""
        return float(max(0, self.repository.config.get_int("receive.keepalive", 5)))

    def open_quarantine(self) -> Quarantine:
        """The folder where this push's objects wait."""
        if self.quarantine is None:
            repository = self.repository
            self.quarantine = Quarantine(
                repository.objects_dir,
                repository.object_format,
                fsync=sync_rules(repository.config),
                sharing=sharing(repository.config),
            )
        return self.quarantine

    def objects(self) -> Snapshot:
        """What is stored, and what waits in quarantine."""
        if self.quarantine is None or self.published:
            return self.repository.objects.snapshot()
        return self.quarantine.objects()

    def hooks(self) -> AsksHooks:
        """The repository's hooks, as they see this moment of the push."""
        hooks = self.own_hooks()
        return hooks if self.ask_also is None else self.ask_also(hooks, self)

    def own_hooks(self) -> Hooks:
        """The same without those of whoever embeds the server."""
        if self.signed is not None and not self.decided:
            self.open_quarantine()  # hooks find the certificate there
        quarantine = None if self.published else self.quarantine
        waiting = None if quarantine is None else quarantine.path
        return Hooks(
            self.repository,
            self.hook_rules,
            self.push_options,
            waiting,
            self.certificate_variables if self.signed is not None else None,
        )

    def certificate_variables(self) -> Mapping[bytes, bytes]:
        """Of a signed push, found out when a hook is there to read them."""
        if self.signed is None:
            return {}
        if self._certificate_variables is None:
            from gitserve.service.signed_push import hook_variables

            blob = self._keep_certificate(self.signed.certificate.text)
            self._certificate_variables = hook_variables(self.repository, self.signed, blob)
        return self._certificate_variables

    def _keep_certificate(self, text: bytes) -> bytes:
        """As a blob, for hooks to read; its id. Until the push is accepted it waits like the rest.

        Hooks that run afterwards alone belong to a push that was accepted.
        """
        if not self.decided:
            self.open_quarantine()
            self.certificate_kept = True
        return self.objects().write_loose("blob", text, sharing=sharing(self.repository.config))

    def discard(self) -> None:
        """Removes what still waits in quarantine. Safe to call at any time."""
        if self.quarantine is not None:
            self.quarantine.discard()
            self.quarantine = None
