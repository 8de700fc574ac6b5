"""The same push to git and to gitserve: the same answer, the same remarks, the same refs.

Every case is one push into a small repository; git's receive-pack says what should become of it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import Programs

pytestmark = pytest.mark.ours


@dataclass(frozen=True, slots=True)
class Case:
    """One push."""

    name: str
    refspecs: tuple[str, ...]
    config: tuple[str, ...] = ()
    """Settings of the receiving repository."""
    bare: bool = True
    hook: str = ""
    """Text of an update hook."""


def case(name: str, *refspecs: str, config: Sequence[str] = (), **more: object) -> Case:
    return Case(name, refspecs, tuple(config), **more)  # type: ignore[arg-type]


ONLY = 'test "$1" != refs/heads/no'

CASES = [
    case("fast-forward", "new:refs/heads/main"),
    case("rewind", "+old:refs/heads/main"),
    case("rewind-denied", "+old:refs/heads/main", config=["receive.denyNonFastForwards=true"]),
    case("rewind-of-tag", "+old:refs/tags/v1", config=["receive.denyNonFastForwards=true"]),
    case("replace-denied", "+other:refs/heads/main", config=["receive.denyNonFastForwards=true"]),
    case("delete", ":refs/heads/side"),
    case("delete-denied", ":refs/heads/side", config=["receive.denyDeletes=true"]),
    case("delete-tag", ":refs/tags/v1", config=["receive.denyDeletes=true"]),
    case("delete-nothing", ":refs/heads/nothing"),
    case("delete-nothing-beside", ":refs/heads/nothing", "new:refs/heads/q"),
    case("delete-current", ":refs/heads/main"),
    case("delete-current-refuse", ":refs/heads/main", config=["receive.denyDeleteCurrent=refuse"]),
    case("delete-current-warn", ":refs/heads/main", config=["receive.denyDeleteCurrent=warn"]),
    case("delete-current-ignore", ":refs/heads/main", config=["receive.denyDeleteCurrent=ignore"]),
    case("delete-current-false", ":refs/heads/main", config=["receive.denyDeleteCurrent=false"]),
    case("current", "new:refs/heads/main", bare=False),
    case("current-refuse", "new:refs/heads/main", bare=False,
         config=["receive.denyCurrentBranch=refuse"]),
    case("current-true", "new:refs/heads/main", bare=False,
         config=["receive.denyCurrentBranch=true"]),
    case("current-warn", "new:refs/heads/main", bare=False,
         config=["receive.denyCurrentBranch=warn"]),
    case("current-ignore", "new:refs/heads/main", bare=False,
         config=["receive.denyCurrentBranch=ignore"]),
    case("current-false", "new:refs/heads/main", bare=False,
         config=["receive.denyCurrentBranch=false"]),
    case("current-delete", ":refs/heads/main", bare=False),
    case("current-delete-warn", ":refs/heads/main", bare=False,
         config=["receive.denyCurrentBranch=warn", "receive.denyDeleteCurrent=warn"]),
    case("current-and-other", "new:refs/heads/main", "new:refs/heads/fine", bare=False),
    case("current-and-other-atomic", "--atomic", "new:refs/heads/main", "new:refs/heads/fine",
         bare=False),
    case("not-current", "+new:refs/heads/side", bare=False),
    case("one-level", "new:refs/stash"),
    case("outside", "new:HEAD"),
    case("other-places", "new:refs/notes/x/y", "new:refs/tags/a", "new:refs/any/thing"),
    case("hidden", "new:refs/hidden/a", config=["transfer.hideRefs=refs/hidden"]),
    case("hidden-delete", ":refs/hidden/a", config=["receive.hideRefs=refs/hidden"]),
    case("hidden-shown-again", "new:refs/hidden/a", "new:refs/hidden/b",
         config=["receive.hideRefs=refs/hidden", "receive.hideRefs=!refs/hidden/a"]),
    case("tree-as-branch", "new^{tree}:refs/heads/tree"),
    case("tree-as-tag", "new^{tree}:refs/tags/tree"),
    case("folder-over-file", "new:refs/heads/side/below"),
    case("file-over-folder", "new:refs/heads/deep"),
    case("swap-folder-and-file", ":refs/heads/side", "new:refs/heads/side/below"),
    case("conflict-within", "new:refs/heads/q", "new:refs/heads/q/r"),
    case("through-symref", "new:refs/heads/link"),
    case("symref-and-target", "new:refs/heads/link", "new:refs/heads/side"),
    case("symref-against-target", "new:refs/heads/link", "+other:refs/heads/side"),
    case("delete-symref", ":refs/heads/link"),
    case("delete-symref-and-target", ":refs/heads/link", ":refs/heads/side"),
    case("dangling-symref", "new:refs/heads/dangling"),
    case("hook", "new:refs/heads/main", "new:refs/heads/no", hook=ONLY),
    case("hook-atomic", "--atomic", "new:refs/heads/main", "new:refs/heads/no", hook=ONLY),
    case("atomic", "--atomic", "new:refs/heads/main", ":refs/heads/side", "new:refs/tags/n"),
    case("atomic-conflict", "--atomic", "new:refs/heads/main", "new:refs/heads/side/below"),
]  # fmt: skip


@pytest.fixture(scope="module")
def work(newest_git: Git, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commits to push: old, then middle, then new; other beside them."""
    work = tmp_path_factory.mktemp("parity") / "work"
    git = newest_git.run
    git("init", "-q", work)
    for name in ("old", "middle", "new"):
        git("commit", "-q", "--allow-empty", "-m", name, cwd=work)
        git("branch", name, cwd=work)
    git("checkout", "-q", "-b", "other", "old", cwd=work)
    git("commit", "-q", "--allow-empty", "-m", "other", cwd=work)
    return work


@pytest.fixture(scope="module")
def templates(newest_git: Git, work: Path) -> dict[bool, Path]:
    """A receiving repository, bare and not."""
    made: dict[bool, Path] = {}
    for bare in (True, False):
        path = made[bare] = work.parent / f"template-{bare}"
        newest_git.run("init", "-q", *(["--bare"] if bare else []), path)
        newest_git.run(
            "push", "-q", path, "middle:refs/heads/start", "middle:refs/heads/side",
            "middle:refs/tags/v1", "middle:refs/heads/deep/down", "middle:refs/hidden/a", cwd=work,
        )  # fmt: skip
        newest_git.run("update-ref", "refs/heads/main", "refs/heads/start", cwd=path)
        newest_git.run("symbolic-ref", "refs/heads/link", "refs/heads/side", cwd=path)
        newest_git.run("symbolic-ref", "refs/heads/dangling", "refs/heads/nowhere", cwd=path)
    return made


def outcome(
    git: Git, work: Path, repository: Path, receive_pack: str, refspecs: Sequence[str]
) -> list[str]:
    """Everything that a person at either end would see."""
    done = git.run(
        "push", "--porcelain", f"--receive-pack={receive_pack}", repository, *refspecs,
        cwd=work, check=False,
    )  # fmt: skip
    text = (done.stdout + done.stderr).decode().replace(str(repository), "REPOSITORY")
    # why exactly a ref could not be locked is told in other words
    text = re.sub(r"(cannot lock ref '.*?': ).*", r"\1", text)
    symbolic = git.text(
        "for-each-ref", "--format=%(refname) %(objectname) %(symref)", cwd=repository
    )
    head = (repository / "HEAD").read_text() if (repository / "HEAD").exists() else ""
    return [str(done.returncode), *text.splitlines(), head, *symbolic.splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_git(
    case: Case,
    newest_git: Git,
    programs: Programs,
    work: Path,
    templates: dict[bool, Path],
    tmp_path: Path,
) -> None:
    outcomes = {}
    for server, command in (
        ("git", f"{newest_git.path} receive-pack"),
        ("gitserve", programs.receive_pack),
    ):
        repository = tmp_path / server
        shutil.copytree(templates[case.bare], repository, symlinks=True)
        git_dir = repository if case.bare else repository / ".git"
        for setting in case.config:
            key, _, value = setting.partition("=")
            newest_git.run("config", "--add", key, value, cwd=git_dir)
        if case.hook:
            path = git_dir / "hooks/update"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{case.hook}\n")
            path.chmod(0o755)
        outcomes[server] = outcome(newest_git, work, repository, command, case.refspecs)
    assert outcomes["gitserve"] == outcomes["git"]
