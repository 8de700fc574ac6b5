"""What is asked of both servers.

In: prepared repositories and a server to record with. Out: workloads, each a file of conversations
and how many at once. Where a workload changes the repository, each server gets a copy of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benches import repositories
from benches.conversations import Conversation, record, write
from benches.repositories import Repositories
from benches.servers import Daemon

PUSHES = 60


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table."""

    name: str
    files: dict[str, Path]
    """The conversations, by the server's name."""
    connections: int
    requests: int
    writes_to: dict[str, Path] | None = None
    """The repositories that are made anew before every round, by the server's name."""


def record_all(
    git_path: str, found: Repositories, daemon: Daemon, servers: list[str], scale: float
) -> list[Workload]:
    """Every workload. ``scale`` multiplies the counts of requests."""
    work = found.base
    client = work / "client"
    shutil.rmtree(client, ignore_errors=True)
    client.mkdir()

    def run(*arguments: str) -> Callable[[str], object]:
        def command(url: str) -> object:
            words = [url if word == "URL" else word for word in arguments]
            quiet = ("-c", "protocol.version=2", "-c", "gc.auto=0", "-c", "maintenance.auto=false")
            return repositories.git(git_path, *quiet, *words, cwd=client)

        return command

    def recorded(repository: Path, *arguments: str) -> Conversation:
        return record(daemon.address, f"/{repository.relative_to(found.base)}", run(*arguments))

    def shared(name: str, said: list[Conversation], connections: int, requests: int) -> Workload:
        path = work / f"{name.replace(' ', '-').replace(',', '')}.conversations"
        write(path, said)
        count = max(connections, round(requests * scale))
        return Workload(name, dict.fromkeys(servers, path), connections, count)

    plain = f"/{found.plain.relative_to(found.base)}"
    clone = recorded(found.plain, "clone", "-q", "--bare", "URL", "whole.git")
    with_bitmap = recorded(found.bitmap, "clone", "-q", "--bare", "URL", "bitmap.git")
    shallow = recorded(found.plain, "clone", "-q", "--bare", "--depth=1", "URL", "shallow.git")
    listing = recorded(found.refs, "ls-remote", "-q", "URL")
    nothing = recorded(found.plain, "-C", "whole.git", "fetch", "-q", "URL", found.branch)
    behind = repositories.fetches_behind(git_path, found.plain, plain, 64)
    shutil.rmtree(client)

    return [
        shared("ls-refs, 1000 refs", [listing], 8, 2000),
        shared("fetch, nothing new", [nothing], 8, 1000),
        shared("fetch, 20 behind", behind, 4, 128),
        shared("clone, depth 1", [shallow], 2, 12),
        shared("clone, no bitmap", [clone], 1, 3),
        shared("clone, bitmap", [with_bitmap], 1, 3),
        shared("8 clones at once", [clone], 8, 8),
        pushing(git_path, found, servers, scale),
    ]


def pushing(git_path: str, found: Repositories, servers: list[str], scale: float) -> Workload:
    """Pushes of one commit, to a copy of the repository for each server."""
    count = max(4, round(PUSHES * scale))
    files, copies = {}, {}
    for server in servers:
        copies[server] = found.base / f"push-{server.replace(' ', '-')}.git"
        path = f"/{copies[server].relative_to(found.base)}"
        files[server] = found.base / f"push-{server.replace(' ', '-')}.conversations"
        write(files[server], repositories.pushes(git_path, found.plain, path, count))
    return Workload("push, one commit", files, 4, count, copies)
