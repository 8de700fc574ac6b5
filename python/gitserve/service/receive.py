"""Performs what a push asks for, on a repository on disk.

In: the effects of the receive session. Out: their replies; objects and refs that are there to stay.
Must not know over which road. The order is what makes it safe, and is this:

1. the pack waits in quarantine, written and synced (:meth:`ReceiveService.take_pack`);
2. every new tip must reach only objects that exist;
3. pre-receive, the ``receive.deny*`` rules, then update: they see the quarantine;
4. the objects move into the repository, synced;
5. the refs are locked, compared, written, synced, renamed, logged - together when atomic;
6. the report; 7. post-receive and post-update (:meth:`ReceiveService.after_report`).

A crash between two of them leaves objects that nothing names, or a lock file; never a ref that
names nothing, never an answer that is not true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from gitserve._core import PackReceiver, Quarantine
from gitserve.errors import InternalError, PackError, RepositoryError
from gitserve.options import HookRules
from gitserve.record import TYPE_CHECKING
from gitserve.repository.config import Config
from gitserve.repository.hiderefs import hidden_patterns, without
from gitserve.repository.native import NativeRepository
from gitserve.repository.packrules import pack_threads
from gitserve.repository.receiverules import receive_rules
from gitserve.service.advertise import receive_advertisement
from gitserve.service.application import Application
from gitserve.service.hooks import AsksHooks
from gitserve.service.keepalive import kept_alive
from gitserve.service.object_rules import ObjectRules, UnusableRules, object_rules, wanted
from gitserve.service.policy import Deny
from gitserve.service.push import Push
from gitserve.service.remarks import Aside, Remarks, nowhere
from gitserve.service.resolving import ResolvingProgress
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.session.effects import (
    AdvertiseRefs,
    AfterReport,
    Agreed,
    ApplyCommands,
    Effect,
    TakePack,
    Unpacked,
)
from gitserve.wire.report import CommandResult

if TYPE_CHECKING:
    from gitserve.policy import Policy, Request

NO_QUARANTINE = b"unable to create temporary object directory"
NO_PACK = b"index-pack abnormal exit"
NOT_UNPACKED = b"unpack-objects abnormal exit"
"""Git's words for a disk that takes nothing, and for one that took not all."""

TRAILER_BYTES = 20
"""Of a pack of SHA-1 objects; one of SHA-256 has more."""

ENTRY_BYTES = 9
"""Of the smallest entry: a header and an empty zlib stream."""


class ReceiveService:
    """One push."""

    performs: Mapping[type[Effect], str] = MappingProxyType(
        {
            Agreed: "agreed",
            AdvertiseRefs: "advertise_refs",
            TakePack: "take_pack",
            ApplyCommands: "apply_commands",
            AfterReport: "after_report",
        }
    )

    def __init__(
        self,
        repository: NativeRepository,
        conversation: Conversation,
        *,
        tally: Tally | None = None,
        hook_rules: HookRules | None = None,
        aside: Aside = nowhere,
        threads: int = 0,
        check_connectivity: bool = True,
        ask_also: Callable[[AsksHooks, Push], AsksHooks] | None = None,
        unset_deny: Deny = Deny.UNSET,
        policy: Policy | None = None,
        request: Request | None = None,
        hidden: Sequence[bytes] = (),
    ) -> None:
        """``policy`` needs to know whose ``request`` it is; ``hidden``: patterns of refs that it
        hides from him."""
        self._push = Push(
            repository=repository,
            conversation=conversation,
            refs=repository.refs.snapshot(),
            tally=tally or Tally(),
            hook_rules=hook_rules or HookRules(),
            aside=aside,
            ask_also=ask_also,
            unset_deny=unset_deny,
            check_connectivity=check_connectivity,
        )
        self._push.hidden = tuple(hidden)
        if policy is not None:
            from gitserve.service.permission import Judge

            if request is None:
                raise InternalError("nobody said whose push this is")
            log = self._push.tally.warnings.append
            self._push.judge = Judge(policy, request, self._push.refs, log)
        self._threads = threads

    def agreed(self, effect: Agreed) -> None:
        """Any choice will do."""
        session_id = effect.capabilities.get(b"session-id")
        if session_id is not None:
            traced = self._push.tally.traced
            traced.append(("client-sid", session_id.decode("utf-8", "replace")))

    def advertise_refs(self, effect: AdvertiseRefs) -> None:
        """What the client compares its own refs with."""
        push = self._push
        patterns = hidden_patterns(push.repository.config, "receive", push.repository.namespace)
        refs = without(push.refs, push.hidden).hidden(patterns)
        objects = push.repository.objects.recent()  # tags are not peeled for a pusher
        said = receive_advertisement(push.repository, refs, objects, effect.capabilities)
        for piece in said:
            push.conversation.write(piece)

    def take_pack(self, effect: TakePack) -> Unpacked:
        """Reads the pack into quarantine while it is parsed, checked and stored."""
        push = self._push
        config = push.repository.config
        progress = ResolvingProgress(
            push.remarks(effect.framing),
            quiet=effect.quiet,
            keep_alive=push.keep_alive,
        )
        trouble = NO_QUARANTINE
        try:
            quarantine = push.open_quarantine()
            trouble = NO_PACK
            rules = _rules(push.repository)
            most = config.derived(receive_rules)
            receiver = quarantine.receive(
                max_pack_bytes=most.pack_bytes,
                max_object_bytes=most.object_bytes,
                max_objects=most.objects,
                max_depth=most.depth,
                max_ratio=most.inflation,
                max_seconds=most.seconds,
                memory=most.memory,
                threads=self._threads or pack_threads(config),
                examine=(rules.severities, rules.skip) if isinstance(rules, ObjectRules) else None,
            )
            self._read_pack(receiver)
            push.tally.objects += receiver.finish(progress)
            progress.finish()
            if rules is not None:
                self._check_objects(quarantine, rules, push.remarks(effect.framing))
            if receiver.objects_expected < _unpack_limit(config):
                trouble = NOT_UNPACKED
                quarantine.unpack()
        except (PackError, RepositoryError, OSError) as error:
            push.discard()
            push.tally.trouble = f"unpack: {error}"
            wire = error.wire if isinstance(error, PackError) else None
            return Unpacked(wire or trouble)
        return Unpacked()

    def _check_objects(
        self, quarantine: Quarantine, rules: ObjectRules | UnusableRules, remarks: Remarks
    ) -> None:
        push = self._push
        if isinstance(rules, UnusableRules):
            remarks.say(b"fatal: %b\n" % str(rules).encode("utf-8", "replace"))
            raise rules
        for text in rules.warnings:
            remarks.warning(text.encode())
        with kept_alive(remarks, push.keep_alive, push.tally.objects):
            lines, refused = quarantine.check_objects(rules.severities, rules.skip)
        for line in lines:
            remarks.say(line.encode() + b"\n")
        if refused:
            remarks.say(b"fatal: fsck error in packed object\n")
            raise PackError("malformed objects", wire=b"index-pack abnormal exit")

    def _read_pack(self, receiver: PackReceiver) -> None:
        push = self._push
        while not receiver.complete:
            data = push.conversation.read_raw(_bytes_to_come(receiver))
            if not data:
                raise PackError("input ended inside the pack", wire=b"early EOF")
            taken = receiver.write(data)
            push.tally.pack_bytes += taken
            if taken < len(data):
                raise PackError("bytes behind the end of the pack", wire=b"garbage at end of pack")

    def apply_commands(self, effect: ApplyCommands) -> tuple[CommandResult, ...]:
        """From the connectivity check to the moved refs."""
        push = self._push
        push.tally.commanded = True
        try:
            results = Application(push, effect).run()
        finally:
            push.discard()
            push.decided = True
        push.tally.refused = sum(result.error is not None for result in results)
        push.tally.updated = len(results) - push.tally.refused
        return results

    def after_report(self, effect: AfterReport) -> None:
        """The client knows; now the hooks that tell others."""
        push = self._push
        if push.done:
            hooks = push.hooks()
            remarks = push.remarks(effect.framing)
            hooks.post_receive(push.done, remarks)
            hooks.post_update(push.done, remarks)
            if push.judge is not None:
                push.judge.after(push.done, push.objects(), push.push_options, remarks)
            if push.repository.config.get_bool("receive.updateserverinfo"):
                self._update_server_info()

    def _update_server_info(self) -> None:
        from gitserve.repository.serverinfo import update_server_info

        try:
            update_server_info(self._push.repository)
        except OSError as error:
            self._push.tally.warnings.append(f"receive.updateServerInfo: {error}")

    def close(self) -> None:
        """Removes what a push that broke off left in quarantine; tells the log what is damaged."""
        self._push.discard()
        self._push.tally.warnings += self._push.repository.objects.recent().take_warnings()


def _rules(repository: NativeRepository) -> ObjectRules | UnusableRules | None:
    """By which the received objects are checked, if they are."""
    if not wanted(repository):
        return None
    try:
        return object_rules(repository)
    except UnusableRules as error:
        return error


def _unpack_limit(config: Config) -> int:
    """Packs with fewer objects become loose ones (``receive.unpackLimit``).

    Where nobody says, none does: a pack is one file to wait for, and is copied as it lies.
    """
    for key in ("receive.unpacklimit", "transfer.unpacklimit"):
        limit = config.get_int(key, -1)
        if limit >= 0:
            return limit
    return 0


def _bytes_to_come(receiver: PackReceiver) -> int:
    """At least so many bytes of the pack are still to come, and at least one."""
    if not receiver.objects_expected:
        return 1
    pending = receiver.objects_expected - receiver.objects_received
    return TRAILER_BYTES + (pending - 1) * ENTRY_BYTES if pending > 0 else 1
