"""The executables in a repository's hooks folder that a push runs.

In: commands and what the client said beside them. Out: whether the push may go on; what hooks
print goes to the client while they run. Implements githooks(5): pre-receive, update,
reference-transaction, post-receive, post-update; the environment of git-receive-pack(1),
"QUARANTINE ENVIRONMENT". A hook that cannot be run is a refusal, never a pass.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from gitserve.errors import PeerError
from gitserve.options import HookRules
from gitserve.record import TYPE_CHECKING, Protocol
from gitserve.repository.native import NativeRepository
from gitserve.service.process import ProgramTimeout, run_program
from gitserve.service.remarks import Remarks
from gitserve.wire.receive_commands import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitserve.service.coprocess import Coprocess

_NOT_FOR_HOOKS = frozenset(
    (
        # what points git at another repository than the hook's
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR",
        "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
        # what only this push may set
        "GIT_PUSH_OPTION_COUNT", "GIT_QUARANTINE_PATH",
    )
)  # fmt: skip


class AsksHooks(Protocol):
    """Whoever is asked at the four moments of a push."""

    def pre_receive(self, commands: Sequence[Command], remarks: Remarks) -> bool:
        """May these go on, all of them?"""

    def update(self, command: Command, remarks: Remarks) -> bool:
        """May this one?"""

    def post_receive(self, commands: Sequence[Command], remarks: Remarks) -> None:
        """These are done."""

    def post_update(self, commands: Sequence[Command], remarks: Remarks) -> None:
        """These are done; names only."""


class Hooks:
    """The hooks of one push."""

    def __init__(
        self,
        repository: NativeRepository,
        rules: HookRules,
        push_options: Sequence[bytes],
        quarantine: str | None = None,
        certificate_variables: Callable[[], Mapping[bytes, bytes]] | None = None,
    ) -> None:
        """``quarantine``: where the objects wait, while they do."""
        self._certificate_variables = certificate_variables
        self._repository = repository
        self._rules = rules
        self._folder = repository.hooks_dir
        self.push_options = push_options
        self._quarantine = quarantine

    def pre_receive(self, commands: Sequence[Command], remarks: Remarks) -> bool:
        """May these go on, all of them?"""
        return self._run("pre-receive", (), _lines(commands), remarks)

    def update(self, command: Command, remarks: Remarks) -> bool:
        """May this one?"""
        return self._run("update", (command.ref, command.old, command.new), b"", remarks)

    def post_receive(self, commands: Sequence[Command], remarks: Remarks) -> None:
        """These are done."""
        self._run("post-receive", (), _lines(commands), remarks, afterwards=True)

    def post_update(self, commands: Sequence[Command], remarks: Remarks) -> None:
        """These are done; names only."""
        names = [command.ref for command in commands]
        self._run("post-update", names, b"", remarks, afterwards=True)

    def reference_transaction(self, remarks: Remarks) -> Callable[[str, bytes], bool] | None:
        """To be told of transactions: state and lines. None: there is no hook."""
        name = "reference-transaction"
        if self._find(name) is None:
            return None

        def tell(state: str, lines: bytes) -> bool:
            over = state != "prepared"
            try:
                return self._run(name, (state.encode(),), lines, remarks, afterwards=over)
            except PeerError:
                return False  # nobody is there any more to be told what became of it

        return tell

    def push_to_checkout(
        self, commit: bytes, place: dict[bytes, bytes], folder: str, remarks: Remarks
    ) -> bool | None:
        """May the current branch be moved, and has its work tree been? None: there is no hook."""
        if self._find("push-to-checkout") is None:
            return None
        return self._run("push-to-checkout", (commit,), b"", remarks, place=place, folder=folder)

    @property
    def environ(self) -> dict[bytes, bytes]:
        """What programs run in that are no hooks."""
        return self._environ(with_options=False)

    def start(self, name: str, on_error_output: Callable[[bytes], None]) -> Coprocess | None:
        """A hook to talk with; None when there is none. Raises OSError when it cannot run."""
        from gitserve.service.coprocess import Coprocess

        path = self._find(name)
        if path is None:
            return None
        return Coprocess(
            [self._in_place(path)],
            cwd=self._repository.git_dir,
            environ=self._environ(with_options=True),
            on_error_output=on_error_output,
            timeout=self._rules.timeout,
        )

    def _find(self, name: str) -> str | None:
        path = os.path.join(self._folder, name)
        return path if os.access(path, os.X_OK) and not os.path.isdir(path) else None

    def _in_place(self, path: str) -> str:
        """As git calls it, from within the repository: ``hooks/update``, which is its ``$0``."""
        return path.removeprefix(os.path.join(self._repository.git_dir, ""))

    def _run(
        self,
        name: str,
        arguments: Sequence[bytes],
        stdin: bytes,
        remarks: Remarks,
        *,
        afterwards: bool = False,
        place: dict[bytes, bytes] | None = None,
        folder: str | None = None,
    ) -> bool:
        path = self._find(name)
        if path is None:
            return True
        try:
            status = run_program(
                [path if folder else self._in_place(path), *arguments],
                cwd=folder or self._repository.git_dir,
                environ=self._environ(with_options=name in ("pre-receive", "post-receive"))
                | (place or {}),
                stdin=stdin,
                on_output=remarks.say_if_heard if afterwards else remarks.say,
                timeout=self._rules.timeout,
            )
        except ProgramTimeout:
            remarks.error(b"%b hook took too long" % name.encode())
            return False
        except (OSError, ValueError):
            remarks.error(b"cannot run the %b hook" % name.encode())
            return False
        return status == 0

    def _environ(self, *, with_options: bool) -> dict[bytes, bytes]:
        inherited = os.environ if self._rules.environ is None else self._rules.environ
        env = {
            os.fsencode(name): os.fsencode(value)
            for name, value in inherited.items()
            if name not in _NOT_FOR_HOOKS and not name.startswith("GIT_PUSH_")
        }
        env[b"GIT_DIR"] = b"."
        if with_options:
            # also when the client spoke of none: githooks(5) says otherwise, git does this
            env[b"GIT_PUSH_OPTION_COUNT"] = b"%d" % len(self.push_options)
            for number, option in enumerate(self.push_options):
                env[b"GIT_PUSH_OPTION_%d" % number] = option
            if self._certificate_variables is not None:
                env.update(self._certificate_variables())
        if self._quarantine is not None:
            quarantine = os.path.abspath(self._quarantine)
            env[b"GIT_QUARANTINE_PATH"] = os.fsencode(quarantine)
            env[b"GIT_OBJECT_DIRECTORY"] = os.fsencode(quarantine)
            env[b"GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _quoted(self._repository.objects_dir)
        return env


def _lines(commands: Sequence[Command]) -> bytes:
    return b"".join([b"%b %b %b\n" % (c.old, c.new, c.ref) for c in commands])


def _quoted(path: str) -> bytes:
    """As git(1) wants a path in GIT_ALTERNATE_OBJECT_DIRECTORIES that holds its separator."""
    raw = os.fsencode(path)
    if b":" not in raw and not raw.startswith(b'"'):
        return raw
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
