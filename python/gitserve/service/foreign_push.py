"""Performs what a push asks for, on somebody's own repository.

In: the effects of the receive session. Out: their replies. Works through the methods of dulwich's
``BackendRepo``: ``object_store.add_thin_pack``, ``refs.set_if_equals`` and
``refs.remove_if_equals``, whose results are believed; hooks are the objects of ``repo.hooks``,
where there are any. Must not know over which road.

There is no quarantine: such a store takes objects or does not. Refs move only once every new tip
has been walked. An atomic push is compared before anything moves, and what moved is put back when
a later ref is lost to somebody else.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gitserve._core import Snapshot, check_connected
from gitserve.errors import GitServeError, HangupError, InternalError
from gitserve.policy import Policy as OperatorsPolicy
from gitserve.policy import Request
from gitserve.repository.foreign import ForeignRepository
from gitserve.repository.hiderefs import hidden_patterns, without
from gitserve.service.advertise import receive_advertisement
from gitserve.service.permission import Judge
from gitserve.service.policy import Deny, Policy
from gitserve.service.remarks import Aside, Remarks, nowhere
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
from gitserve.wire.receive_commands import Command
from gitserve.wire.report import CommandResult

ATOMIC_FAILURE = b"atomic push failure"


class ForeignReceiveService:
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
        repository: ForeignRepository,
        conversation: Conversation,
        *,
        tally: Tally | None = None,
        aside: Aside = nowhere,
        unset_deny: Deny = Deny.UNSET,
        policy: OperatorsPolicy | None = None,
        request: Request | None = None,
        hidden: Sequence[bytes] = (),
    ) -> None:
        """``policy``, ``request``, ``hidden``: as the service for repositories on disk has them."""
        self._repository = repository
        self._repo = repository.repo
        self._conversation = conversation
        self._refs = repository.refs.snapshot()
        self._aside = aside
        self._unset_deny = unset_deny
        self._done: list[Command] = []
        self.tally = tally or Tally()
        self._hidden = tuple(hidden)
        self._judged: Judge | None = None
        if policy is not None:
            if request is None:
                raise InternalError("nobody said whose push this is")
            self._judged = Judge(policy, request, self._refs, self.tally.warnings.append)
        self._push_options: tuple[bytes, ...] = ()

    def agreed(self, effect: Agreed) -> None:
        """Any choice will do."""

    def advertise_refs(self, effect: AdvertiseRefs) -> None:
        """What the client compares its own refs with."""
        patterns = hidden_patterns(self._repository.config, "receive")
        refs = without(self._refs, self._hidden).hidden(patterns)
        objects = self._repository.objects.snapshot()
        said = receive_advertisement(self._repository, refs, objects, effect.capabilities)
        for piece in said:
            self._conversation.write(piece)

    def take_pack(self, effect: TakePack) -> Unpacked:  # noqa: ARG002 - the store shows no progress
        """Hands the pack's bytes to the store as they arrive."""
        source = _PackBytes(self._conversation)
        add = self._repo.object_store.add_thin_pack
        limit = max(0, self._repository.config.get_int("receive.maxinputsize", 0))
        try:
            if limit and "max_input_size" in inspect.signature(add).parameters:
                add(source.read_all, source.read_some, max_input_size=limit)
            else:
                source.limit = limit
                add(source.read_all, source.read_some)
        except GitServeError as error:
            self.tally.trouble = f"unpack: {error}"
            return Unpacked(error.wire or b"unpacker error")
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the pack is not in
            self.tally.trouble = f"unpack: {type(error).__name__}: {error}"
            return Unpacked(b"unpacker error")
        self.tally.pack_bytes += source.taken
        return Unpacked()

    def apply_commands(self, effect: ApplyCommands) -> tuple[CommandResult, ...]:
        """From the connectivity check to the moved refs."""
        self.tally.commanded = True
        remarks = Remarks(self._conversation, effect.framing, self._aside)
        errors = self._judge(effect, remarks)
        if effect.atomic and errors:
            errors = {index: errors.get(index, ATOMIC_FAILURE) for index in _all(effect)}
        else:
            self._move(effect, errors)
        left = [index for index in _all(effect) if index not in errors]
        self._done = [effect.commands[index] for index in left]
        self.tally.updated = len(left)
        self.tally.refused = len(errors)
        return tuple(
            CommandResult(command.ref, errors.get(index))
            for index, command in enumerate(effect.commands)
        )

    def _judge(self, effect: ApplyCommands, remarks: Remarks) -> dict[int, bytes]:
        """Git's word for each command that will not be carried out."""
        errors: dict[int, bytes] = {}
        objects = self._repository.objects.snapshot()
        shallow = self._repository.shallow
        now = self._repository.refs.snapshot()  # what refs named at the start may be gone since
        policy = Policy(self._repository, self._refs, remarks, self._unset_deny, self._hidden)
        times = Counter(command.ref for command in effect.commands)
        tips = list(dict.fromkeys(c.new for c in effect.commands if not c.is_delete))
        # one walk for all; only where something is missing, one for each to tell whose fault it is
        complete = check_connected(objects, tips, (), shallow, refs=now) is None
        for index, command in enumerate(effect.commands):
            word = policy.hidden(command)
            if times[command.ref] > 1:
                word = b"failed to update ref"
            if word is None and not complete and not command.is_delete:
                missing = check_connected(objects, [command.new], (), shallow, refs=now)
                if missing is not None:
                    cut = effect.client_shallow
                    word = b"shallow update not allowed" if cut else b"missing necessary objects"
            if word is None:
                word = policy.check(command, objects)
            if word is not None:
                errors[index] = word
        self._ask_policy(effect, objects, remarks, errors)
        left = [c for index, c in enumerate(effect.commands) if index not in errors]
        if left and not self._hook("pre-receive", remarks, _triples(left)):
            return {i: errors.get(i, b"pre-receive hook declined") for i in _all(effect)}
        for index, command in enumerate(effect.commands):
            if index in errors:
                continue
            if not self._hook("update", remarks, command.ref, command.old, command.new):
                errors[index] = b"hook declined"
        return errors

    def _ask_policy(
        self,
        effect: ApplyCommands,
        objects: Snapshot,
        remarks: Remarks,
        errors: dict[int, bytes],
    ) -> None:
        """The operator's rules, before any hook."""
        judge, options = self._judged, effect.push_options
        left = [index for index in _all(effect) if index not in errors]
        if judge is None or not left:
            return
        self._push_options = options
        words = judge.update([effect.commands[i] for i in left], objects, options, remarks)
        errors.update({i: word for i, word in zip(left, words, strict=True) if word is not None})
        left = [index for index in left if index not in errors]
        if left and not (effect.atomic and errors):
            word = judge.before([effect.commands[i] for i in left], objects, options, remarks)
            if word is not None:
                errors.update(dict.fromkeys(left, word))

    def _move(self, effect: ApplyCommands, errors: dict[int, bytes]) -> None:
        moved: list[Command] = []
        for index, command in enumerate(effect.commands):
            if index in errors:
                continue
            if self._swap(command):
                moved.append(command)
                continue
            errors[index] = b"failed to update ref"
            if effect.atomic:
                for done in reversed(moved):
                    self._swap(Command(done.ref, old=done.new, new=done.old))
                errors.update({i: ATOMIC_FAILURE for i in _all(effect) if i != index})
                return

    def _swap(self, command: Command) -> bool:
        """One compare-and-swap, its result believed: None, from old stores, is a yes."""
        refs = self._repo.refs
        try:
            if command.is_delete:
                won = refs.remove_if_equals(command.ref, command.old)
            else:
                won = refs.set_if_equals(command.ref, command.old, command.new)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the ref has not moved
            self.tally.trouble = f"refs: {type(error).__name__}: {error}"
            return False
        if won is None:
            value = self._repo.get_refs().get(command.ref)
            return bool(value is None if command.is_delete else value == command.new)
        return bool(won)

    def after_report(self, effect: AfterReport) -> None:
        """The client knows; now the hook that tells others."""
        if self._done:
            remarks = Remarks(self._conversation, effect.framing, self._aside)
            self._hook("post-receive", remarks, _triples(self._done))
            if self._judged is not None:
                objects = self._repository.objects.snapshot()
                self._judged.after(self._done, objects, self._push_options, remarks)

    def _hook(self, name: str, remarks: Remarks, *arguments: object) -> bool:
        """Asks one of ``repo.hooks``, where there is one; whatever it raises is a no."""
        hook = (getattr(self._repo, "hooks", None) or {}).get(name)
        if hook is None:
            return True
        try:
            said = hook.execute(*arguments)
        except Exception as error:  # noqa: BLE001 - a hook is somebody's code
            self.tally.trouble = f"{name} hook: {error}"
            return False
        for text in said if isinstance(said, tuple) else (said,):
            if isinstance(text, bytes) and text:
                remarks.say_if_heard(text)
        return True

    def close(self) -> None:
        """Nothing waits anywhere."""


class _PackBytes:
    """The pack as the two read functions that such stores take."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._held = b""
        self.taken = 0
        self.limit = 0

    def read_some(self, size: int) -> bytes:
        """At least one byte and at most ``size``; ``b""`` at the end of input."""
        data = self._held or self._conversation.read_raw()
        self._held = data[size:]
        data = data[:size]
        self.taken += len(data)
        if self.limit and self.taken > self.limit:
            raise GitServeError("pack is too large", wire=b"pack exceeds maximum allowed size")
        return data

    def read_all(self, size: int) -> bytes:
        """Exactly ``size`` bytes. Raises HangupError when the input ends before."""
        pieces = []
        while size:
            data = self.read_some(size)
            if not data:
                raise HangupError("input ended inside the pack", wire=b"early EOF")
            pieces.append(data)
            size -= len(data)
        return b"".join(pieces)


def _all(effect: ApplyCommands) -> range:
    return range(len(effect.commands))


def _triples(commands: Sequence[Command]) -> list[tuple[bytes, bytes, bytes]]:
    return [(command.old, command.new, command.ref) for command in commands]
