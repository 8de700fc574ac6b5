"""Copies of a repository that differ in one thing: refs, packs, a bitmap.

In: a bare repository. Out: changes in place, or a copy that shares files with its original. Packs
and loose objects are never written to again once they are there, so that copies hold hard links.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benches.gits import git

PACKS = 40
LOOSE_COMMITS = 40
"""The newest commits, whose objects stay loose."""


def linked_copy(source: Path, copy: Path) -> Path:
    """A copy of a repository; objects are hard links, everything else is a copy."""

    def take(name: str, to: str) -> str:
        if "/objects/" in name and "/info/" not in name:
            os.link(name, to)
            return to
        return shutil.copy2(name, to)

    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(source, copy, copy_function=take)
    return copy


def with_refs(git_path: str, repository: Path, count: int) -> None:
    """Exactly ``count`` refs: the default branch, and tags on its newest commits."""
    listed = git(git_path, "rev-list", f"--max-count={count}", "HEAD", cwd=repository)
    tips = listed.decode().split()
    head = git(git_path, "symbolic-ref", "HEAD", cwd=repository).decode().strip()
    lines = [f"{tips[0]} {head}\n"]
    lines += [f"{tips[n % len(tips)]} refs/tags/bench/{n:05}\n" for n in range(count - 1)]
    lines.sort(key=lambda line: line.split(" ")[1])
    shutil.rmtree(repository / "refs")
    (repository / "refs/heads").mkdir(parents=True)
    header = "# pack-refs with: peeled fully-peeled sorted \n"
    (repository / "packed-refs").write_text(header + "".join(lines))


def into_packs(git_path: str, repository: Path, count: int = PACKS) -> None:
    """The default branch alone, as it would be after so many fetches, and its newest part loose."""
    line = git(git_path, "rev-list", "--first-parent", "--reverse", "HEAD", cwd=repository)
    commits = line.decode().split()
    loose_from = max(1, len(commits) - LOOSE_COMMITS)
    ends = sorted({max(1, loose_from * number // count) for number in range(1, count + 1)})
    with_refs(git_path, repository, 1)
    packs = repository / "objects/pack"
    old = repository / "objects/old-packs"
    packs.rename(old)
    packs.mkdir()
    (repository / "objects/info").mkdir(exist_ok=True)
    # The old packs stay readable meanwhile, as an alternate.
    alternate = repository / "objects/info/alternates"
    outside = repository / "objects/outside"
    outside.mkdir()
    old.rename(outside / "pack")
    alternate.write_text(f"{outside}\n")
    before: str | None = None
    for end in ends:
        tip = commits[end - 1]
        revs = f"{tip}\n" + (f"^{before}\n" if before else "")
        packing = ("pack-objects", "-q", "--revs", "--delta-base-offset", packs / "pack")
        git(git_path, *packing, cwd=repository, stdin=revs.encode())
        before = tip
    streaming = ("pack-objects", "-q", "--revs", "--delta-base-offset", "--stdout")
    rest = git(git_path, *streaming, cwd=repository, stdin=f"{commits[-1]}\n^{before}\n".encode())
    alternate.unlink()
    shutil.rmtree(outside)
    git(git_path, "unpack-objects", "-q", cwd=repository, stdin=rest)
