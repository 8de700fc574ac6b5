"""Pushes, and reads of what many of them left.

In: repositories. Out: workloads that each change a copy made anew before every round, one for each
server, and a check that every push has landed: a server that only says ``ok`` is not fast. git
daemon is measured with git's own defaults, which do not bring loose objects to the disk;
``git daemon, fsync`` (see :func:`benches.peers.available`) is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benches import conversations, packs
from benches.conversations import Conversation
from benches.gits import git
from benches.peers import DULWICH, GIT, JGIT, OURS, SYNCED
from benches.repositories import SETTINGS, Repositories
from benches.variants import linked_copy
from benches.workloads import REFS, Recording, Workload

PUSH = "push"
SMALL = (GIT, SYNCED, DULWICH, JGIT, OURS)
LARGE = (GIT, JGIT, OURS)
CLIENTS = 4
ROUNDS = 30
"""Pushes of each of them, at most."""
REFS_SAID = 400_000
"""Refs that servers tell each client, over all its pushes: with many refs, fewer pushes."""
CROWD = 64
EACH = 5
"""Pushes of each client in a crowd."""
MOST_REFS = 5000
"""Of a push of everything; more would measure refs instead of the pack."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What must be in a folder afterwards: a ref and its value, in each repository."""

    git_path: str
    expected: dict[str, dict[str, str]]

    def check(self, folder: Path) -> None:
        """Raises unless everything is there, and connected."""
        for repository, refs in self.expected.items():
            listed = git(
                self.git_path,
                "for-each-ref",
                "--format=%(refname) %(objectname)",
                cwd=folder / repository,
            )
            there = dict(line.split(" ") for line in listed.decode().splitlines())
            lost = [ref for ref, value in refs.items() if there.get(ref) != value]
            if lost:
                raise RuntimeError(f"{folder / repository}: {len(lost)} of {len(refs)} refs lost")
            reach = "\n".join([*refs.values(), "--not", *self.known(folder / repository, refs)])
            walk = ("rev-list", "--objects", "--quiet", "--stdin")
            git(self.git_path, *walk, cwd=folder / repository, stdin=reach.encode() + b"\n")

    def known(self, repository: Path, refs: dict[str, str]) -> list[str]:
        """The default branch, if it was there before."""
        try:
            said = git(self.git_path, "rev-parse", "--verify", "-q", "HEAD", cwd=repository)
        except RuntimeError:
            return []
        tip = said.decode().strip()
        return [] if tip in refs.values() else [tip]


def chains(
    found: Repositories, paths: Sequence[str], branches: Sequence[str], each: int
) -> tuple[list[Conversation], dict[str, dict[str, str]]]:
    """Each client pushes commit after commit to its own branch of its own path.

    The conversations of client ``n`` of ``c`` are ``n``, ``n + c``, ``n + 2c``: lanes.
    """
    tree = packs.root_tree(found.git_path, found.plain)
    _, tip = found.head()
    now = ["0" * 40] * len(paths)
    parents = [tip] * len(paths)
    made = []
    for number in range(each):
        for lane, (path, branch) in enumerate(zip(paths, branches, strict=True)):
            one = packs.one_commit(tree, parents[lane], lane, number)
            made.append(conversations.push(path, branch, one.name, one.pack, now[lane]))
            now[lane] = parents[lane] = one.name
    expected: dict[str, dict[str, str]] = {}
    for path, branch, value in zip(paths, branches, now, strict=True):
        expected.setdefault(path.strip("/"), {})[branch] = value
    return made, expected


def copies(found: Repositories, source: Path, names: Sequence[str]) -> Callable[[str], Path]:
    """Copies of a repository, below a folder for each server."""

    def fresh(server: str) -> Path:
        folder = found.base / f"round-{server.replace(' ', '-')}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in names:
            linked_copy(source, folder / name)
        return folder

    return fresh


def workload(
    recording: Recording,
    name: str,
    source: Path,
    paths: Sequence[str],
    each: int,
    peers: tuple[str, ...],
) -> Workload:
    """Clients that push at the same time."""
    found = recording.found
    branches = [f"refs/heads/bench/{lane:03}" for lane in range(len(paths))]
    said, expected = chains(found, paths, branches, each)
    file, count = recording.file(f"{name} {len(paths)} {each}", lambda: said)
    names = sorted({path.strip("/") for path in paths})
    fresh = copies(found, source, names)
    check = Pushed(found.git_path, expected).check
    timed = count - len(paths) if each > 1 else count
    return Workload(name, PUSH, 0, file, count, len(paths), timed, peers, True, fresh, check)


def pushes(recording: Recording, wanted: Callable[[str], bool], scale: float) -> Iterator[Workload]:
    """Every workload that writes."""
    found = recording.found
    for count in [found.counted()["refs"]] if found.kept else REFS:
        if wanted(f"push of one commit, {count} refs"):
            yield one_commit(recording, count, scale)
    crowd = max(2, round(CROWD * min(1.0, scale)))
    name = f"push, {CROWD} clients, {CROWD} branches"
    if wanted(name):
        source = found.plain if found.kept else found.refs(REFS[0])
        yield workload(recording, name, source, ["/pushed.git"] * crowd, EACH, SMALL)
    name = f"push, {CROWD} clients, {CROWD} repositories"
    if wanted(name):
        source = found.plain if found.kept else found.refs(REFS[0])
        paths = [f"/pushed-{lane}.git" for lane in range(crowd)]
        yield workload(recording, name, source, paths, EACH, SMALL)
    if wanted("push, whole repository") and not found.kept:
        yield everything(recording)


def one_commit(recording: Recording, refs: int, scale: float) -> Workload:
    """A few clients that push one commit each time, to a repository with so many refs."""
    found = recording.found
    source = found.plain if found.kept else found.refs(refs)
    each = max(2, round(min(ROUNDS, REFS_SAID // max(1, refs)) * scale))
    name = f"push of one commit, {refs} refs"
    return workload(recording, name, source, ["/pushed.git"] * CLIENTS, each, SMALL)


def everything(recording: Recording) -> Workload:
    """The whole repository into an empty one."""
    found = recording.found
    listed = git(
        found.git_path, "for-each-ref", "--format=%(objectname) %(refname)", cwd=found.plain
    )
    lines = listed.decode().splitlines()[:MOST_REFS]
    refs = {line.split(" ")[1]: line.split(" ")[0] for line in lines}

    def make() -> list[Conversation]:
        packs_there = list((found.plain / "objects/pack").glob("*.pack"))
        (first, value), *others = refs.items()
        more = b"".join(
            conversations.pkt(b"0" * 40 + f" {value} {ref}".encode()) for ref, value in others
        )
        pack = packs_there[0].read_bytes()
        return [conversations.push("/pushed.git", first, value, pack, more=more)]

    def fresh(server: str) -> Path:
        folder = found.base / f"round-{server.replace(' ', '-')}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / "pushed.git"
        git(found.git_path, "init", "-q", "--bare", path, cwd=folder)
        for name, value in SETTINGS.items():
            git(found.git_path, "config", name, value, cwd=path)
        return folder

    file, _ = recording.file("push everything", make)
    check = Pushed(found.git_path, {"pushed.git": refs}).check
    return Workload("push, whole repository", PUSH, 0, file, 1, 1, 1, LARGE, True, fresh, check)
