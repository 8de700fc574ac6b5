"""gitserve behind dulwich's API against dulwich itself, on one repository.

In: prepared repositories. Out: rounds of listing refs and of whole clones, for a repository on disk
and for one whose objects are in memory. Only the library that the server imports differs
(:mod:`benches.dropin_server`). Protocol version 0, which both speak.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benches import repositories
from benches.conversations import Conversation, record, write
from benches.repositories import Repositories
from benches.servers import Daemon, running
from benches.workloads import Workload

THEIRS, OURS = "dulwich", "gitserve"

MOST_OBJECTS = 120_000
"""Beyond, dulwich takes minutes for a clone, and its objects gigabytes of memory."""

LOADING = 300.0
"""Seconds for a server to read all objects into memory."""


def why_not(git_path: str, found: Repositories) -> str | None:
    """A reason to leave this out."""
    if importlib.util.find_spec("dulwich") is None:
        return "dulwich is not installed"
    counted = repositories.git(git_path, "count-objects", "-v", cwd=found.plain).decode()
    values = dict(line.split(": ") for line in counted.splitlines())
    if int(values["in-pack"]) > MOST_OBJECTS:
        return f"more than {MOST_OBJECTS} objects"
    return None


def pairs(
    git_path: str, found: Repositories, scale: float, wanted: Callable[[str], bool]
) -> Iterator[tuple[list[Workload], list[Daemon]]]:
    """The two servers with what to ask them, first on disk, then in memory."""
    for place in ("disk", "memory"):
        if not any(wanted(name) for name in names(place)):
            continue
        with ExitStack() as stack:
            daemons = [
                stack.enter_context(
                    running(
                        library,
                        command(library, found, memory=place == "memory"),
                        found.base,
                        found.base / f"dropin-{library}-{place}.log",
                        LOADING,
                    )
                )
                for library in (THEIRS, OURS)
            ]
            todo = workloads(git_path, found, daemons, place, scale)
            yield [workload for workload in todo if wanted(workload.name)], daemons


def names(place: str) -> tuple[str, str]:
    """Of the rows of the table."""
    return f"dulwich API, refs, {place}", f"dulwich API, clone, {place}"


def command(library: str, found: Repositories, *, memory: bool) -> list[str]:
    """How the server is started."""
    words = [sys.executable, "-m", "benches.dropin_server", f"--library={library}"]
    words.append(f"--repository={found.plain.name}")
    return [*words, "--memory"] if memory else words


def workloads(
    git_path: str, found: Repositories, daemons: list[Daemon], place: str, scale: float
) -> list[Workload]:
    """Recorded from each server, because clients say what fits its capabilities."""
    client = found.base / "dropin-client"
    path = f"/{found.plain.name}"

    def recorded(daemon: Daemon, *arguments: str) -> Conversation:
        def run(url: str) -> object:
            shutil.rmtree(client, ignore_errors=True)
            client.mkdir()
            words = [url if word == "URL" else word for word in arguments]
            return repositories.git(git_path, "-c", "protocol.version=0", *words, cwd=client)

        said = record(daemon.address, path, run)
        shutil.rmtree(client)
        return said

    def files(name: str, *arguments: str) -> dict[str, Path]:
        made = {}
        for daemon in daemons:
            made[daemon.name] = found.base / f"{name}-{daemon.name}.conversations"
            write(made[daemon.name], [recorded(daemon, *arguments)])
        return made

    refs, clone = names(place)
    listing = files(f"dropin-refs-{place}", "ls-remote", "-q", "URL")
    whole = files(f"dropin-clone-{place}", "clone", "-q", "--bare", "URL", "whole.git")
    return [
        Workload(refs, listing, 1, max(1, round(20 * scale))),
        Workload(clone, whole, 1, 1),
    ]
