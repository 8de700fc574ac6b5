"""The commands of one push, stage by stage, from asked for to done or refused.

In: the push and its commands. Out: one result a command. Each stage takes out what it refuses;
what is left at the end has happened. The order is told and reasoned in :mod:`.receive`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from gitserve.errors import Refused, RepositoryError
from gitserve.options import Reflogs
from gitserve.record import TYPE_CHECKING
from gitserve.repository.ident import committer
from gitserve.repository.shallow import move_boundary
from gitserve.repository.sharing import sharing
from gitserve.repository.syncrules import sync_rules
from gitserve.service.alternates import alternate_tips
from gitserve.service.keepalive import kept_alive
from gitserve.service.policy import Policy
from gitserve.service.push import Push
from gitserve.service.shallow_push import new_roots
from gitserve.session.effects import ApplyCommands
from gitserve.wire.receive_commands import Command
from gitserve.wire.report import CommandResult

if TYPE_CHECKING:
    from gitserve.service.proc_receive import Rewrite

ATOMIC_FAILURE = b"atomic push failure"
"""Git's word for commands that were well but stand beside one that was not."""

CHECK_KEY = "gitserve.maxcheckseconds"
CHECK_SECONDS = 3600
"""In which it must be clear that nothing is missing; 0: no limit. A walk of a million objects takes
seconds; what takes an hour was made to."""

CHECK_MEMORY_KEY = "gitserve.checkmemory"
CHECK_MEMORY = 1 << 30
"""Bytes that the walk of one push may hold, beside rooms of a fixed size and the object it reads;
0: no limit. A new commit takes 200, a subtree that waits a few dozen: five million commits."""

ABORTED_BY_HOOK = "ref updates aborted by hook"
"""The reference-transaction hook did not want any of them. Git ends without a report then."""

TRANSACTION_FAILURE = b"atomic transaction failed"
UPDATE_FAILURE = b"failed to update ref"
"""Git's words for refs that could not be moved, together or one by one."""


class Application:
    """The commands of one push, on their way from asked for to done or refused."""

    def __init__(self, push: Push, effect: ApplyCommands) -> None:
        self.push = push
        self.effect = effect
        self.repository = push.repository
        self.refs = push.refs
        self.remarks = push.remarks(effect.framing)
        self.errors: dict[int, bytes] = {}
        self.absent: set[int] = set()
        """Deletions of what is not there: done by doing nothing."""
        self.done_by_other: set[int] = set()
        """Updates of symbolic refs that the same update of their target does too."""
        self.done_by_hook: dict[int, tuple[Rewrite, ...]] = {}
        """Commands that the proc-receive hook has carried out, and what it made of them."""
        self._known_elsewhere: list[bytes] | None = None
        self.needs_roots: set[int] = set()
        """Commands whose history ends where the pusher's does."""

    def run(self) -> tuple[CommandResult, ...]:
        push, effect = self.push, self.effect
        push.push_options = effect.push_options
        if effect.certificate is not None:
            from gitserve.service.signed_push import SignedPush

            push.signed = SignedPush(effect.certificate, effect.nonce, effect.stateless)
        policy = Policy(self.repository, self.refs, self.remarks, push.unset_deny, push.hidden)
        stages: tuple[Callable[[], None], ...] = (
            self.refuse_repeated,
            lambda: self.refuse_by(policy.hidden),
            self.refuse_unconnected,
            self.refuse_inconsistent_aliases,
            self.ask_policy,
            self.ask_pre_receive,
            self.hand_over,
            lambda: self.judge(policy),
            lambda: self.refuse_unfit(policy),
            self.publish,
            lambda: self.deploy(policy),
            self.move_refs,
        )
        for stage in stages:
            stage()
            if effect.atomic and self.errors:
                self.fail_rest(ATOMIC_FAILURE)
                break
        for index, command in self.left():
            rewrites = self.done_by_hook.get(index)
            if rewrites:
                push.done += [rewrite.done for rewrite in rewrites]
            elif index not in self.absent:
                push.done.append(command)
        return tuple(self.results())

    def results(self) -> Iterator[CommandResult]:
        for index, command in enumerate(self.effect.commands):
            rewrites = self.done_by_hook.get(index)
            if index in self.errors or not rewrites:
                yield CommandResult(command.ref, self.errors.get(index))
            else:
                for rewrite in rewrites:
                    yield CommandResult(command.ref, None, rewrite.options)

    def left(self) -> list[tuple[int, Command]]:
        """The commands that nothing speaks against so far."""
        return [(i, c) for i, c in enumerate(self.effect.commands) if i not in self.errors]

    def fail_rest(self, word: bytes) -> None:
        for index, _ in self.to_do():
            self.errors[index] = word

    def to_do(self) -> list[tuple[int, Command]]:
        """Those left that nobody has done yet."""
        return [(i, c) for i, c in self.left() if i not in self.done_by_hook]

    def refuse_by(self, rule: Callable[[Command], bytes | None]) -> None:
        for index, command in self.left():
            word = rule(command)
            if word is not None:
                self.errors[index] = word

    def refuse_repeated(self) -> None:
        """Git lets the first of several commands for one ref win, or all when atomic fail."""
        seen: set[bytes] = set()
        repeated: set[bytes] = set()
        for command in self.effect.commands:
            (repeated if command.ref in seen else seen).add(command.ref)
        for ref in sorted(repeated):
            self.remarks.error(b"multiple updates for ref '%b' not allowed" % ref)
        self.refuse_by(lambda command: UPDATE_FAILURE if command.ref in repeated else None)

    def refuse_unconnected(self) -> None:
        """No new tip may lead to an object that is not here. All at once, since mostly all do."""
        tips = [command.new for _, command in self.left() if not command.is_delete]
        if not tips or not self.push.check_connectivity:
            return
        boundary = self.effect.client_shallow
        try:
            missing = self.unconnected(tips, ())
            absent = self.unconnected(missing, boundary) if missing and boundary else missing
        except Refused as error:
            self.push.tally.trouble = f"connectivity check: {error}"
            word = b"check for missing objects %b" % str(error).encode()
            self.remarks.error(b"the " + word)
            self.fail_rest(word)
            return
        for index, command in self.left():
            if command.is_delete or command.new not in missing:
                continue
            if command.new in absent:
                self.errors[index] = b"missing necessary objects"
                continue
            self.needs_roots.add(index)
            if not self.repository.config.get_bool("receive.shallowupdate"):
                self.errors[index] = b"shallow update not allowed"

    def unconnected(self, tips: Collection[bytes], boundary: Sequence[bytes]) -> frozenset[bytes]:
        """Those of the tips that lead to something missing.

        Raises :class:`Refused` when that takes too long, or too much memory.
        """
        push, repository = self.push, self.repository
        client = push.conversation.client
        client = None if client is None else client.spoken_to()
        with kept_alive(self.remarks, push.keep_alive, push.tally.objects, client):
            ids = list(dict.fromkeys(tips))
            found, missing = push.open_quarantine().unconnected(
                ids,
                self.known_elsewhere(),
                [*repository.shallow, *boundary],
                # as they are now: what a ref named when the client connected may be pruned since
                refs=repository.refs.snapshot(),
                seconds=max(0, repository.config.get_int(CHECK_KEY, CHECK_SECONDS)),
                memory=max(0, repository.config.get_int(CHECK_MEMORY_KEY, CHECK_MEMORY)),
                client=client,
            )
        if missing is not None and not push.tally.trouble:
            push.tally.trouble = f"push lacks object {missing.decode()}"
        return frozenset(ids[index] for index in found)

    def known_elsewhere(self) -> list[bytes]:
        """What the repositories we borrow from have. Asked once: it may mean running a program."""
        if self._known_elsewhere is None:
            self._known_elsewhere = alternate_tips(self.repository)
        return self._known_elsewhere

    def refuse_inconsistent_aliases(self) -> None:
        """A symbolic ref and its target in one push: they have to be moved alike."""
        by_ref = {command.ref: index for index, command in self.left()}
        for index, command in self.left():
            target = self.refs.symbolic(command.ref)
            other = None if target is None else by_ref.get(target)
            if other is None or other == index:
                continue
            self.done_by_other.add(index)
            twin = self.effect.commands[other]
            if (command.old, command.new) == (twin.old, twin.new):
                continue
            self.remarks.error(
                b"refusing inconsistent update between symref '%b' (%b..%b) and its target '%b'"
                b" (%b..%b)"
                % (command.ref, command.old[:7], command.new[:7],
                   twin.ref, twin.old[:7], twin.new[:7])
            )  # fmt: skip
            self.errors[index] = self.errors[other] = b"inconsistent aliased update"

    def ask_policy(self) -> None:
        """The operator's rules come before the repository's, and hold for what hooks do, too."""
        judge, options = self.push.judge, self.effect.push_options
        left = self.left()
        if judge is None or not left:
            return
        objects = self.push.objects()
        words = judge.update([c for _, c in left], objects, options, self.remarks)
        for (index, _), word in zip(left, words, strict=True):
            if word is not None:
                self.errors[index] = word
        left = self.left()
        if left and not (self.effect.atomic and self.errors):
            refused = judge.before([c for _, c in left], objects, options, self.remarks)
            if refused is not None:
                self.fail_rest(refused)

    def ask_pre_receive(self) -> None:
        left = [command for _, command in self.left()]
        if left and not self.push.hooks().pre_receive(left, self.remarks):
            self.fail_rest(b"pre-receive hook declined")

    def hand_over(self) -> None:
        """What ``receive.procReceiveRefs`` names is the proc-receive hook's to do."""
        if "receive.procreceiverefs" not in self.repository.config:
            return
        from gitserve.service.proc_receive import NOT_RUN, HandedOver, ProcReceive

        handed_over = HandedOver(self.repository.config)
        handed = [(index, command) for index, command in self.left() if command in handed_over]
        if not handed:
            return
        self.publish()
        if self.errors.keys() & {index for index, _ in handed}:
            return
        hook = ProcReceive(self.push.own_hooks(), self.remarks, atomic=self.effect.atomic)
        all_refs = frozenset(command.ref for command in self.effect.commands)
        outcomes = hook.run([command for _, command in handed], all_refs)
        for index, command in handed:
            outcome = outcomes[command.ref]
            if outcome.error is not None:
                self.errors[index] = outcome.error
            elif not outcome.falls_through:
                self.done_by_hook[index] = outcome.rewrites
        if hook.failed and self.effect.atomic:
            self.fail_rest(NOT_RUN)

    def judge(self, policy: Policy) -> None:
        """The repository's rules, then the update hook, one command after the other."""
        hooks = self.push.hooks()
        objects = self.push.objects()
        to_do = self.to_do()
        if not self.effect.atomic:
            to_do.sort(key=lambda numbered: not numbered[1].is_delete)  # as git since 2.50
        for index, command in to_do:
            if index in self.done_by_other:
                continue
            word = policy.check(command, objects)
            if word is None and not hooks.update(command, self.remarks):
                self.remarks.error(b"hook declined to update " + command.ref)
                word = b"hook declined"
            if word is not None:
                self.errors[index] = word
                if self.effect.atomic:
                    return
            elif command.is_delete and command.old not in objects:
                self.note_odd_deletion(index, command)

    def refuse_unfit(self, policy: Policy) -> None:
        """What no ref of that name can hold. It fails as the refs' update would, but nothing is
        published for it."""
        objects = self.push.objects()
        unfit = [i for i, command in self.to_do() if not policy.fits(command, objects)]
        if unfit and self.effect.atomic:
            self.fail_rest(TRANSACTION_FAILURE)
        for index in unfit:
            self.errors.setdefault(index, UPDATE_FAILURE)

    def note_odd_deletion(self, index: int, command: Command) -> None:
        if self.refs.get(command.ref) is not None or self.refs.symbolic(command.ref) is not None:
            self.remarks.warning(b"allowing deletion of corrupt ref")
        else:
            self.remarks.warning(b"deleting a non-existent ref")
            self.absent.add(index)

    def publish(self) -> None:
        """From here on the objects stay, whatever becomes of the refs."""
        if self.push.quarantine is None or self.push.published:
            return
        left = self.left()
        if not left or not (
            self.push.certificate_kept or any(not command.is_delete for _, command in left)
        ):
            return
        try:
            self.push.quarantine.publish()
            self.push.published = True
            self.take_over_roots()
        except (RepositoryError, OSError) as error:
            self.push.tally.trouble = f"publish: {error}"
            self.fail_rest(b"unable to migrate objects to permanent storage")

    def take_over_roots(self) -> None:
        """What a shallow pusher does not have, this repository need not have either from now on."""
        tips = [command.new for index, command in self.left() if index in self.needs_roots]
        if not tips:
            return
        repository = self.repository
        roots = new_roots(self.push.objects(), tips, self.effect.client_shallow, repository.shallow)
        move_boundary(repository.common_dir, roots, sharing=sharing(repository.config))

    def deploy(self, policy: Policy) -> None:
        """``updateInstead``: files first, so that a branch is not moved away from them."""
        for index, command in self.to_do():
            worktree = policy.to_deploy(command)
            if worktree is None:
                continue
            from gitserve.service.deploy import deploy

            word = deploy(
                worktree,
                command.new,
                self.push.own_hooks(),
                self.remarks,
                unborn=self.refs.get(command.ref) is None,
            )
            if word is not None:
                self.errors[index] = word

    def move_refs(self) -> None:
        moving = [(i, c) for i, c in self.to_do() if i not in self.absent | self.done_by_other]
        if not moving:
            return
        config = self.repository.config
        objects = None
        if len(moving) > 1 or moving[0][1].is_delete or not self.repository.refs_are_files:
            objects = self.repository.objects.snapshot()

        def compared_with(command: Command) -> bytes | None:
            # a deletion whose old value is no object here compares with nothing: git's rule
            is_known = objects is None or not command.is_delete or command.old in objects
            return command.old if is_known else None

        updates = [(c.ref, compared_with(c), c.new) for _, c in moving]
        try:
            refusals = self.repository.refs.update(
                updates,
                atomic=self.effect.atomic,
                committer=committer(config, self.push.hook_rules.environ),
                message=b"push",
                reflog=self.reflogs(),
                fsync="reference" in sync_rules(config),
                objects=objects,
                sharing=sharing(config),
                witness=self.push.own_hooks().reference_transaction(self.remarks),
            )
        except (RepositoryError, OSError) as error:
            refusals = [("the refs cannot be written", str(error))] * len(moving)
        if any(refusal is not None and refusal[0] == ABORTED_BY_HOOK for refusal in refusals):
            self.remarks.error(ABORTED_BY_HOOK.encode())
        word = TRANSACTION_FAILURE if self.effect.atomic else UPDATE_FAILURE
        for (index, command), refusal in zip(moving, refusals, strict=True):
            if refusal is not None:
                told, logged = refusal
                if told == ABORTED_BY_HOOK:
                    self.errors[index] = told.encode()
                    continue
                if told != "atomic transaction failed":  # one of the others has the reason
                    reason = told.encode("utf-8", "surrogateescape")
                    self.remarks.error(b"cannot lock ref '%b': %b" % (command.ref, reason))
                    self.push.tally.trouble = f"refs: {logged}"
                self.errors[index] = word

    def reflogs(self) -> Reflogs:
        """``core.logAllRefUpdates``; where it is unset, a repository with a work tree does."""
        config = self.repository.config
        if (config.get("core.logallrefupdates") or "").lower() == "always":
            return "all"
        configured = config.get_optional_bool("core.logallrefupdates")
        wanted = (not self.repository.is_bare) if configured is None else configured
        return "branches" if wanted else "existing"
