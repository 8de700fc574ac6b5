"""What is asked of the servers, but for pushes (:mod:`benches.pushes`).

In: repositories and a git to record with. Out: workloads, each a file of conversations, how many at
once, and in which mode:

- ``different``: on a server that knows the repository, requests that nobody has made before;
- ``repeated``: the same request again and again, the first ones not timed;
- ``cold``: the first request to a server that was started for it. The kernel's page cache is left
  alone: a disk's speed is not what is measured.

Everything is recorded once and kept beside the repositories.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benches import conversations
from benches.conversations import Conversation, record, write
from benches.gits import git
from benches.peers import CACHED, DULWICH, GIT, JGIT, LIMIT, OURS, Peer
from benches.repositories import Repositories

DIFFERENT, REPEATED, COLD = "different", "repeated", "cold"

CONNECTIONS = 6
"""As many as git daemon lets wait; of more the kernel would lose some, for a second each."""
BEHIND = 20
HAVES = 16
"""What git says in its first round."""
REFS = (1000, 35_000)
WARM = 8
"""Requests that are made and not timed, so that every worker of a server has seen some."""
LEAST = 1.0
"""Seconds of a round where the same small request is repeated. By their number alone gitserve is
done with them in a tenth of that, and one time slice of somebody else's shows."""
MANY = 400
"""Conversations that differ, at most."""
SLOW_FOR_OTHERS = 120_000
"""Objects, from which on dulwich takes minutes for a clone."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table."""

    name: str
    mode: str
    version: int
    file: Path
    """The conversations."""
    count: int
    """How many there are."""
    connections: int
    requests: int
    peers: tuple[str, ...]
    lanes: bool = False
    """Each connection takes its own conversations, in their order."""
    fresh: Callable[[str], Path] | None = None
    """Makes anew what a round writes to; given the server's name, it returns the folder served."""
    check: Callable[[Path], None] = field(default=lambda _: None)
    """Raises unless what the folder should hold after a round is there."""
    least: float = 0.0
    """Seconds of a round in which further requests are made, beyond their number."""

    @property
    def row(self) -> str:
        """Unique in a run, the same in every run."""
        return f"{self.name}, {self.mode}" + (", v0" if self.version == 0 else "")

    @property
    def warm(self) -> int:
        """Requests at the beginning of the file that are only for warming up."""
        if self.mode == COLD:
            return 0
        if self.fresh is not None:
            return self.connections if self.count > self.connections else 0
        if self.mode == REPEATED:
            return WARM
        return max(0, min(WARM, self.count - self.requests)) if self.mode == DIFFERENT else 0


def peers_for(mode: str, version: int, *, slow: bool = False) -> tuple[str, ...]:
    """Who is asked."""
    if mode == COLD:
        return GIT, OURS
    if version == 0:
        return (GIT, OURS, LIMIT) if slow else (GIT, DULWICH, JGIT, OURS, LIMIT)
    return (GIT, OURS, CACHED, LIMIT) if mode == REPEATED else (GIT, OURS)


@dataclass(slots=True)
class Recording:
    """Makes the files of conversations, or finds them."""

    found: Repositories
    peer: Peer
    """To record with."""
    logs: Path

    @property
    def folder(self) -> Path:
        folder = self.found.base / "conversations"
        folder.mkdir(exist_ok=True)
        return folder

    def file(self, name: str, make: Callable[[], list[Conversation]]) -> tuple[Path, int]:
        """The file, made when it is not there, and how many conversations it holds."""
        plain = "".join(letter if letter.isalnum() else "-" for letter in name)
        path = self.folder / f"{plain}.conversations"
        if not path.exists():
            write(path, make())
        return path, int.from_bytes(path.read_bytes()[:4], "little")

    def record(self, repository: Path, version: int, *arguments: str) -> Conversation:
        """What git says when it runs so. Packs are not waited for."""
        client = self.folder / "client"
        shutil.rmtree(client, ignore_errors=True)
        client.mkdir()
        git_path = self.found.git_path

        def run(url: str) -> None:
            words = [url if word == "URL" else word for word in arguments]
            quiet = ("-c", f"protocol.version={version}", "-c", "maintenance.auto=false")
            # The recorder hangs up when it knows the question, and git complains.
            with contextlib.suppress(RuntimeError):
                git(git_path, *quiet, *words, cwd=client)

        try:
            with self.peer.serving(self.found.base, self.logs) as daemon:
                path = self.found.served(repository)
                said = record(daemon.address, path, run, cut=True)
        finally:
            shutil.rmtree(client)
        if len(said.turns) < 2 - (arguments[0] == "ls-remote"):
            raise RuntimeError(f"nothing recorded of git {' '.join(arguments)}")
        return said if version == 2 else conversations.common_words(said)

    def clone(self, repository: Path, version: int, *how: str) -> Conversation:
        """A clone, without the listing of refs: version 0 has none of its own."""
        said = self.record(repository, version, "clone", "-q", "--bare", *how, "URL", "new.git")
        return conversations.last_request(said) if version == 2 else said


def behind(found: Repositories, repository: Path, count: int) -> list[tuple[str, list[str]]]:
    """Clients that are :data:`BEHIND` commits behind, each somewhere else."""
    line = found.first_parents(count + BEHIND + 1)
    made = []
    for number in range(min(count, max(1, len(line) - BEHIND - 1))):
        tip, old = line[number], line[min(number + BEHIND, len(line) - 1)]
        listed = git(
            found.git_path, "rev-list", f"--max-count={HAVES}", old, cwd=repository
        ).decode()
        made.append((tip, listed.split()))
    return made


def differing(said: Conversation, found: Repositories, path: str, count: int) -> list[Conversation]:
    """Whole clones that nobody has asked for before: each leaves out another ref."""
    try:
        return [conversations.without_want(said, number) for number in range(count)]
    except ValueError:
        return [conversations.fetch(path, [tip], []) for tip in found.first_parents(count)]


def redundant(said: Conversation, found: Repositories, count: int) -> list[Conversation]:
    """Clones of everything that differ: each wants an old commit as well."""
    tips = found.first_parents(count + 1)[1:] or found.first_parents(1)
    return [conversations.with_want(said, tip) for tip in tips]


def lacking(
    said: Conversation, found: Repositories, repository: Path, path: str, count: int
) -> list[Conversation]:
    """Clones of nearly everything: each leaves out another ref that has objects of its own."""
    wants = conversations.wants(said)
    made: list[Conversation] = []
    for number, want in enumerate(wants):
        others = "".join(f"^{other}\n" for other in wants if other != want)
        listing = ("rev-list", "--objects", "--count", "--use-bitmap-index", "--stdin")
        alone = git(found.git_path, *listing, cwd=repository, stdin=f"{want}\n{others}".encode())
        if int(alone):
            made.append(conversations.without_want(said, number))
        if len(made) == count:
            break
    return made or [conversations.fetch(path, [tip], []) for tip in found.first_parents(count)[1:]]


def reads(recording: Recording, wanted: Callable[[str], bool]) -> Iterator[Workload]:
    """Every workload that only reads. Nothing is recorded or copied that is not wanted."""
    yield from listings(recording, wanted)
    yield from fetches(recording, wanted)
    yield from clones(recording, wanted)


def listings(recording: Recording, wanted: Callable[[str], bool]) -> Iterator[Workload]:
    """What refs cost."""
    found = recording.found
    for count in [found.counted()["refs"]] if found.kept else REFS:
        for mode, version in ((REPEATED, 2), (COLD, 2), (REPEATED, 0)):
            suffix = ", v0" if version == 0 else ""
            if wanted(f"ls-refs, {count} refs, {mode}{suffix}"):
                yield listing(recording, count, mode, version)


def listing(recording: Recording, count: int, mode: str, version: int) -> Workload:
    """All refs of a repository that has so many."""
    found = recording.found
    repository = found.plain if found.kept else found.refs(count)

    def make() -> list[Conversation]:
        return [recording.record(repository, version, "ls-remote", "-q", "URL")]

    name = f"ls-refs, {count} refs"
    file, _ = recording.file(f"{name} v{version}", make)
    requests = 1 if mode == COLD else max(8, min(2000, 16_000_000 // count))
    connections = 1 if mode == COLD else CONNECTIONS
    peers = peers_for(mode, version)
    least = 0.0 if mode == COLD else LEAST
    return Workload(name, mode, version, file, 1, connections, requests, peers, least=least)


def fetches(recording: Recording, wanted: Callable[[str], bool]) -> Iterator[Workload]:
    """Small ones, and one commit with all its files."""
    found = recording.found
    path = found.served(found.plain)
    plain = found.plain

    def nothing() -> list[Conversation]:
        branch, tip = found.head()
        client = recording.folder / "up-to-date.git"
        shutil.rmtree(client, ignore_errors=True)
        git(found.git_path, "init", "-q", "--bare", client, cwd=found.base)
        (client / "objects/info/alternates").write_text(f"{plain / 'objects'}\n")
        git(found.git_path, "update-ref", branch, tip, cwd=client)
        return [recording.record(plain, 2, "-C", str(client), "fetch", "-q", "URL", branch)]

    def empty(count: int) -> list[Conversation]:
        tips = found.first_parents(count)
        return [conversations.fetch(path, [tip], [tip]) for tip in tips]

    def late(count: int) -> list[Conversation]:
        return [conversations.fetch(path, [tip], old) for tip, old in behind(found, plain, count)]

    def late_v0() -> list[Conversation]:
        return [conversations.fetch_v0(path, [t], old) for t, old in behind(found, plain, 1)]

    def shallow(count: int) -> list[Conversation]:
        tips = found.first_parents(count)
        return [conversations.fetch(path, [tip], [], [b"deepen 1"]) for tip in tips]

    def shallow_v0() -> list[Conversation]:
        return [recording.clone(plain, 0, "--depth=1")]

    few, all_of_them = "fetch, 20 behind", "clone, depth 1"
    rows: list[tuple[str, str, int, Callable[[], list[Conversation]], int, int]] = [
        ("fetch, nothing new", REPEATED, 2, nothing, CONNECTIONS, 1000),
        ("fetch, empty pack", DIFFERENT, 2, lambda: empty(MANY), CONNECTIONS, 96),
        ("fetch, empty pack", REPEATED, 2, lambda: empty(1), CONNECTIONS, 400),
        (few, DIFFERENT, 2, lambda: late(MANY), 4, 96),
        (few, REPEATED, 2, lambda: late(1), 4, 400),
        (few, COLD, 2, lambda: late(1), 1, 1),
        (few, REPEATED, 0, late_v0, 4, 96),
        (all_of_them, DIFFERENT, 2, lambda: shallow(64), 2, 6),
        (all_of_them, REPEATED, 2, lambda: shallow(1), 4, 40),
        (all_of_them, COLD, 2, lambda: shallow(1), 1, 1),
        (all_of_them, REPEATED, 0, shallow_v0, 2, 6),
    ]
    yield from shaped(recording, wanted, rows)


Row = tuple[str, str, int, Callable[[], list[Conversation]], int, int]


def shaped(
    recording: Recording, wanted: Callable[[str], bool], rows: list[Row]
) -> Iterator[Workload]:
    """Workloads from what distinguishes them."""
    slow = recording.found.counted().get("in-pack", 0) > SLOW_FOR_OTHERS
    for name, mode, version, make, connections, requests in rows:
        suffix = ", v0" if version == 0 else ""
        if not wanted(f"{name}, {mode}{suffix}"):
            continue
        kind = DIFFERENT if mode == DIFFERENT else "one"
        file, count = recording.file(f"{name} {kind} v{version}", make)
        if mode == DIFFERENT:
            requests = max(1, min(requests, count - WARM))
        peers = peers_for(mode, version, slow=slow and "clone" in name)
        least = LEAST if mode == REPEATED and "fetch" in name else 0.0
        yield Workload(name, mode, version, file, count, connections, requests, peers, least=least)


def clones(recording: Recording, wanted: Callable[[str], bool]) -> Iterator[Workload]:
    """Whole ones."""
    found = recording.found

    def rows(
        repository: Callable[[], Path], name: str, modes: list[tuple[str, int, int]]
    ) -> list[Row]:
        how = ("--filter=blob:none",) if "blob:none" in name else ()

        def one() -> list[Conversation]:
            return [recording.clone(repository(), 2, *how)]

        def many() -> list[Conversation]:
            path = found.served(repository())
            return differing(one()[0], found, path, 40)

        return [
            (name, mode, 2, many if mode == DIFFERENT else one, connections, requests)
            for mode, connections, requests in modes
        ]

    def everything() -> list[Conversation]:
        return redundant(recording.clone(found.bitmap(), 2), found, 40)

    def nearly() -> list[Conversation]:
        repository = found.bitmap()
        path = found.served(repository)
        return lacking(recording.clone(repository, 2), found, repository, path, 20)

    first, different, again = (COLD, 1, 1), (DIFFERENT, 1, 2), (REPEATED, 1, 4)
    thrice = [first, different, again]
    name = "clone, as it is" if found.kept else "clone, no bitmap"
    todo = rows(lambda: found.plain, name, thrice)
    todo.append((name, REPEATED, 0, lambda: [recording.clone(found.plain, 0)], 1, 1))
    if not found.kept:
        todo += rows(found.bitmap, "clone, bitmap", [first, again])
        # a pack that goes out as it lies there, and one with gaps: different work for every server
        todo.append(("clone, bitmap, all", DIFFERENT, 2, everything, 1, 2))
        todo.append(("clone, bitmap, part", DIFFERENT, 2, nearly, 1, 2))
        todo += rows(found.bitmap, "clone, blob:none", thrice[1:])
        todo += rows(found.bitmap, "8 clones at once", [(DIFFERENT, 8, 8), (REPEATED, 8, 8)])
        todo += rows(found.packs, "clone, 40 packs and loose", thrice)
    yield from shaped(recording, wanted, todo)
