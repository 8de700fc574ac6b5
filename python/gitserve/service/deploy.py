"""Pushes that update the work tree of the branch they move (``updateInstead``).

In: a work tree and the commit it shall show. Out: git's word of refusal, or a work tree that shows
it. Implements ``receive.denyCurrentBranch=updateInstead`` of git-config(1) and the push-to-checkout
hook of githooks(5). Without the hook the files are written by the host's own git, with all that
attributes and filters ask for; where there is none, such a push is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from gitserve.repository.worktrees import Worktree
from gitserve.service.hooks import Hooks
from gitserve.service.process import ProgramTimeout, run_program
from gitserve.service.remarks import Remarks

SECONDS = 600.0
"""For one of git's steps; large work trees take a while."""


def deploy(
    worktree: Worktree, commit: bytes, hooks: Hooks, remarks: Remarks, *, unborn: bool
) -> bytes | None:
    """``unborn``: the branch has no commit yet."""
    place = {
        b"GIT_DIR": os.fsencode(os.path.abspath(worktree.git_dir)),
        b"GIT_WORK_TREE": os.fsencode(os.path.abspath(worktree.folder)),
    }
    answer = hooks.push_to_checkout(commit, place, worktree.folder, remarks)
    if answer is not None:
        return None if answer else b"push-to-checkout hook declined"
    git = _Git(hooks.environ | place, worktree.folder, remarks)
    try:
        if not git.succeeds("update-index", "-q", "--ignore-submodules", "--refresh"):
            return b"Up-to-date check failed"
        if not git.succeeds("diff-files", "--quiet", "--ignore-submodules", "--"):
            return b"Working directory has unstaged changes"
        if not git.succeeds(
            "diff-index", "--quiet", "--cached", "--ignore-submodules",
            git.empty_tree() if unborn else "HEAD", "--",
        ):  # fmt: skip
            return b"Working directory has staged changes"
        if not git.succeeds("read-tree", "-u", "-m", commit.decode()):
            return b"Could not update working tree to new HEAD"
    except FileNotFoundError:
        remarks.error(b"updating a work tree needs git on the server, which has none")
        return b"Could not update working tree to new HEAD"
    except (OSError, ProgramTimeout):
        return b"Could not update working tree to new HEAD"
    return None


class _Git:
    """The host's git in one work tree."""

    def __init__(self, environ: dict[bytes, bytes], folder: str, remarks: Remarks) -> None:
        self._environ = environ
        self._folder = folder
        self._remarks = remarks

    def succeeds(self, *arguments: str) -> bool:
        return self._run(arguments, self._remarks.say) == 0

    def empty_tree(self) -> str:
        """Its id in the repository's object format."""
        said: list[bytes] = []

        def hear(text: bytes) -> None:
            said.append(text)

        self._run(("hash-object", "-t", "tree", "--stdin"), hear, self._remarks.say)
        return b"".join(said).decode().strip()

    def _run(
        self,
        arguments: Sequence[str],
        on_output: Callable[[bytes], None],
        on_error_output: Callable[[bytes], None] | None = None,
    ) -> int:
        return run_program(
            ["git", *arguments],
            cwd=self._folder,
            environ=self._environ,
            stdin=b"",
            on_output=on_output,
            on_error_output=on_error_output,
            timeout=SECONDS,
        )
