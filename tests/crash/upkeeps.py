"""The runs of ``gitserve maintain`` whose ends are tested, each on a repository made for it.

In: git. Out: :class:`Upkeep` values. Each has packs and loose objects that are rolled up, loose
refs that are packed, and a commit-graph and a multi-pack-index that are replaced.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.gits import Git, assert_sound, installed_gits, refs

GIT = installed_gits()[0]

UPKEEPS: dict[str, tuple[str, ...]] = {
    "roll-up": (),
    "full": ("--full",),
    "prune": ("--full", "--prune=now"),
}


@dataclass(frozen=True, slots=True)
class Upkeep:
    """A repository, what is done to it, and what has to be there afterwards."""

    name: str
    repository: Path
    words: tuple[str, ...]
    refs: dict[str, str]
    objects: frozenset[str]
    wanted: frozenset[str]
    """What refs reach; of the rest some may go."""

    def check(self, repository: Path) -> None:
        """The repository is whole, with all its refs and objects, however it is read."""
        assert_sound(GIT, repository)
        assert refs(GIT, repository) == self.refs
        there = objects(repository)
        kept = self.wanted if self.name == "prune" else self.objects
        assert kept <= there, sorted(kept - there)
        assert there <= self.objects
        counting = ("rev-list", "--objects", "--all", "--count")
        for extra in ((), ("--use-bitmap-index",)):
            count = GIT.text(*counting, *extra, cwd=repository)
            assert int(count) == len(self.wanted), extra


def objects(repository: Path) -> frozenset[str]:
    """All of them, by name."""
    form = "--batch-check=%(objectname)"
    return frozenset(GIT.lines("cat-file", form, "--batch-all-objects", cwd=repository))


def make(folder: Path, name: str, git: Git = GIT) -> Upkeep:
    """The run of this name, below a folder that is not there."""
    folder.mkdir()
    bare = folder / "repository.git"
    git.run("init", "-q", "--bare", "--template=", bare)
    git.run("config", "core.logAllRefUpdates", "false", cwd=bare)
    _commits(bare, "main", 1, 24)
    _commits(bare, "main", 25, 4)
    git.run("pack-refs", "--all", cwd=bare)
    git.run("multi-pack-index", "write", "--bitmap", cwd=bare)
    git.run("commit-graph", "write", "--reachable", "--split", cwd=bare)
    for number in range(3):
        _commits(bare, f"side{number}", 100 + number, 1)
    git.run("branch", "other", "main~5", cwd=bare)
    git.run("tag", "-a", "-m", "a tag", "v1", "main~2", cwd=bare)
    # nobody needs it, and some day nobody keeps it
    git.run("branch", "gone", "side1", cwd=bare)
    _commits(bare, "gone", 200, 1)
    git.run("branch", "-D", "gone", cwd=bare)
    lost = git.run("hash-object", "-w", "--stdin", cwd=bare, stdin=b"nobody's").stdout
    reach = git.lines("rev-list", "--objects", "--all", cwd=bare)
    wanted = frozenset(line.split()[0] for line in reach)
    there = objects(bare)
    assert wanted < there
    assert lost.decode().strip() in there - wanted
    return Upkeep(name, bare, UPKEEPS[name], refs(git, bare), there, wanted)


def _commits(bare: Path, branch: str, first: int, count: int) -> None:
    stream = ""
    for number in range(first, first + count):
        text = "".join(f"{line} {line * number // 7}\n" for line in range(60))
        head = f"refs/heads/{branch}"
        known = GIT.run("rev-parse", "-q", "--verify", head, cwd=bare, check=False)
        start = f"from {head}^0\n" if number == first and not known.returncode else ""
        stream += f"commit {head}\ncommitter A <a@b.example> {1_700_000_000 + number} +0000\n"
        stream += f"data 2\nm\n{start}M 644 inline d/changes\ndata {len(text)}\n{text}"
        stream += f"M 644 inline d/{branch}-{number}\ndata {len(str(number))}\n{number}\n"
    subprocess.run(
        [GIT.path, "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--force"],
        cwd=bare,
        input=stream.encode(),
        check=True,
        timeout=60,
    )
