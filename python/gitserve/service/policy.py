"""Which ref updates a repository takes: names, and the ``receive.deny*`` settings.

In: one command and what the repository is configured to do. Out: git's word of refusal, or None;
explanations go to the client as remarks. Implements ``receive.denyDeletes``,
``denyNonFastForwards``, ``denyCurrentBranch``, ``denyDeleteCurrent`` and ``receive.hideRefs`` of
git-config(1). Must not change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from gitserve._core import RefSnapshot, Snapshot, all_reachable
from gitserve.repository.config import Config, ConfigError
from gitserve.repository.hiderefs import hidden_patterns, is_hidden
from gitserve.repository.readable import ReadableRepository
from gitserve.repository.refname import is_well_formed
from gitserve.repository.worktrees import Worktree
from gitserve.service.remarks import Remarks
from gitserve.wire.receive_commands import Command

_CURRENT_BRANCH = b"""\
By default, updating the current branch in a non-bare repository
is denied, because it will make the index and work tree inconsistent
with what you pushed, and will require 'git reset --hard' to match
the work tree to HEAD.

You can set the 'receive.denyCurrentBranch' configuration variable
to 'ignore' or 'warn' in the remote repository to allow pushing into
its current branch; however, this is not recommended unless you
arranged to update its work tree to match what you pushed in some
other way.

To squelch this message and still keep the default behaviour, set
'receive.denyCurrentBranch' configuration variable to 'refuse'."""

_DELETE_CURRENT = b"""\
By default, deleting the current branch is denied, because the next
'git clone' won't result in any file checked out, causing confusion.

You can set 'receive.denyDeleteCurrent' configuration variable to
'warn' or 'ignore' in the remote repository to allow deleting the
current branch, with or without a warning message.

To squelch this message, you can set it to 'refuse'."""


class Deny(Enum):
    """What happens to an update that people tend to regret."""

    IGNORE = "ignore"
    """It is done."""
    WARN = "warn"
    """It is done, and said."""
    REFUSE = "refuse"
    UPDATE_INSTEAD = "updateInstead"
    """It is done, if the work tree can be made to show it."""
    UNSET = ""
    """Refused, with an explanation of how to change that."""


def deny_setting(config: Config, key: str, unset: Deny = Deny.UNSET) -> Deny:
    """One of git's ``receive.deny*Current*``: a word, or a boolean."""
    value = config.get(key)
    if value is None and key not in config:
        return unset
    word = (value or "").lower()
    if word in ("ignore", "warn", "refuse"):
        return Deny(word)
    if word == "updateinstead":
        return Deny.UPDATE_INSTEAD
    try:
        return Deny.REFUSE if config.get_bool(key) else Deny.IGNORE
    except ConfigError:
        return Deny.REFUSE


class Policy:
    """The rules for one push, fixed when it begins."""

    def __init__(
        self,
        repository: ReadableRepository,
        refs: RefSnapshot,
        remarks: Remarks,
        unset: Deny = Deny.UNSET,
        also_hidden: Sequence[bytes] = (),
    ) -> None:
        """``unset``: what holds for the current branch where nothing is configured.
        ``also_hidden``: patterns beside ``receive.hideRefs``; nothing there shows again what these
        hide, nor the other way round."""
        config = repository.config
        self._hidden_patterns = hidden_patterns(config, "receive", repository.namespace)
        self._also_hidden = also_hidden
        self._refs = refs
        self._remarks = remarks
        self._shallow = repository.shallow
        self._deny_deletes = config.get_bool("receive.denydeletes")
        self._deny_rewinds = config.get_bool("receive.denynonfastforwards")
        self._deny_current = deny_setting(config, "receive.denycurrentbranch", unset)
        self._deny_delete_current = deny_setting(config, "receive.denydeletecurrent", unset)
        self._head = refs.symbolic(b"HEAD")
        self._checked_out = {
            tree.branch.removeprefix(repository.namespace): tree
            for tree in repository.checked_out()
            if tree.branch.startswith(repository.namespace)
        }

    def hidden(self, command: Command) -> bytes | None:
        """The refusal of an update to a ref that the client is not to know of."""
        # who pushes to a symbolic ref moves what it stands for
        target = self._refs.symbolic(command.ref) if self._also_hidden else None
        if not (
            is_hidden(command.ref, self._hidden_patterns)
            or is_hidden(command.ref, self._also_hidden)
            or (target is not None and is_hidden(target, self._also_hidden))
        ):
            return None
        if command.is_delete:
            return b"deny deleting a hidden ref"
        return b"deny updating a hidden ref"

    def to_deploy(self, command: Command) -> Worktree | None:
        """The work tree that has to show this update once it is agreed to."""
        if self._deny_current is not Deny.UPDATE_INSTEAD or command.is_delete:
            return None
        return self._checked_out.get(command.ref)

    def check(self, command: Command, objects: Snapshot) -> bytes | None:
        """The refusal of one update, None when the update hook may be asked."""
        ref = command.ref
        name = ref.removeprefix(b"refs/")
        if name == ref or not is_well_formed(name, one_level=command.is_delete):
            self._remarks.error(b"refusing to update funny ref '%b' remotely" % ref)
            return b"funny refname"
        if ref in self._checked_out:
            refused = self._on_current_branch(ref)
            if refused is not None:
                return refused
        is_branch = ref.startswith(b"refs/heads/")
        if command.is_delete:
            return self._on_delete(command, is_branch=is_branch)
        header = objects.header(command.new)
        if header is None:
            return b"missing necessary objects"
        if is_branch and self._deny_rewinds and not command.is_create:
            return self._on_rewind(command, objects)
        return None

    def fits(self, command: Command, objects: Snapshot) -> bool:
        """May a ref of this name hold this object? Branches are for commits."""
        ref = command.ref
        header = None if command.is_delete else objects.header(command.new)
        if header is None or header[0] == "commit" or not ref.startswith(b"refs/heads/"):
            return True
        self._remarks.error(
            b"cannot update ref '%b': trying to write non-commit object %b to branch '%b'"
            % (ref, command.new, ref)
        )
        return False

    def _on_current_branch(self, ref: bytes) -> bytes | None:
        if self._deny_current is Deny.IGNORE:
            return None
        if self._deny_current is Deny.WARN:
            self._remarks.warning(b"updating the current branch")
            return None
        if self._deny_current is Deny.UPDATE_INSTEAD:
            return None  # when everything else has been agreed to
        self._remarks.error(b"refusing to update checked out branch: " + ref)
        if self._deny_current is Deny.UNSET:
            self._remarks.error(_CURRENT_BRANCH)
        return b"branch is currently checked out"

    def _on_delete(self, command: Command, *, is_branch: bool) -> bytes | None:
        ref = command.ref
        if command.is_create:
            return None  # both ids are zeros: nothing is asked for, which git lets pass
        if self._deny_deletes and is_branch:
            self._remarks.error(b"denying ref deletion for " + ref)
            return b"deletion prohibited"
        if ref != self._head and ref not in self._checked_out:
            return None
        if self._deny_delete_current is Deny.IGNORE:
            return None
        if self._deny_delete_current is Deny.WARN:
            self._remarks.warning(b"deleting the current branch")
            return None
        if self._deny_delete_current is Deny.UNSET:
            self._remarks.error(_DELETE_CURRENT)
        self._remarks.error(b"refusing to delete the current branch: " + ref)
        return b"deletion of the current branch prohibited"

    def _on_rewind(self, command: Command, objects: Snapshot) -> bytes | None:
        old = objects.header(command.old)
        if old is None or old[0] != "commit":
            self._remarks.error(b"Bad sha1 objects for %b" % command.ref)
            return b"bad ref"
        if all_reachable(objects, [command.old], [command.new], self._shallow) is not None:
            self._remarks.error(
                b"denying non-fast-forward %b (you should pull first)" % command.ref
            )
            return b"non-fast-forward"
        return None
