"""What the repositories that this one borrows objects from have, for a pusher to know.

In: a repository on disk. Out: the ids their refs name (``.have`` lines). Implements
``core.alternateRefsCommand`` and ``core.alternateRefsPrefixes`` of git-config(1), and
``objects/info/alternates`` of gitrepository-layout(5). They only save bytes: where one cannot be
read, a push works without it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from gitserve.errors import GitServeError
from gitserve.repository.locate import location_of
from gitserve.repository.native import NativeRepository
from gitserve.service.process import ProgramTimeout, aside, run_program

MAX_ALTERNATES = 100
"""Folders whose refs are told to a pusher; each costs opening a repository."""

COMMAND_SECONDS = 60.0
"""For one ``core.alternateRefsCommand``; who pushes waits for it."""


def alternate_tips(repository: NativeRepository) -> list[bytes]:
    """The distinct ref values of the repositories that this one borrows objects from."""
    tips: dict[bytes, None] = {}
    folders = _alternates(repository.objects_dir)
    if not folders:
        return []
    command = repository.config.get("core.alternaterefscommand")
    prefixes = (repository.config.get("core.alternaterefsprefixes") or "").split()
    for objects_dir in folders:
        git_dir = os.path.dirname(objects_dir)
        try:
            if command:
                found = _told_by(command, git_dir, repository)
            else:
                found = _read(git_dir, [os.fsencode(p) for p in prefixes], repository)
            tips.update(dict.fromkeys(found))
        except (GitServeError, OSError, ProgramTimeout):
            continue
    return list(tips)


def _read(git_dir: str, prefixes: Sequence[bytes], repository: NativeRepository) -> Iterable[bytes]:
    location = location_of(git_dir)
    if location is None:
        return ()
    alternate = NativeRepository(location)
    if alternate.object_format != repository.object_format:
        return ()
    refs = alternate.all_refs.snapshot()
    return [
        object_id
        for name, object_id in refs.items()
        if not prefixes or any(_is_below(name, prefix) for prefix in prefixes)
    ]


def _is_below(name: bytes, prefix: bytes) -> bool:
    """As git-for-each-ref(1) understands a pattern without wildcards."""
    folder = prefix if prefix.endswith(b"/") else prefix + b"/"
    return name == prefix or name.startswith(folder)


def _told_by(command: str, git_dir: str, repository: NativeRepository) -> Iterable[bytes]:
    said: list[bytes] = []
    status = run_program(
        ["/bin/sh", "-c", f'{command} "$@"', command, os.path.abspath(git_dir)],
        cwd=repository.git_dir,
        environ=os.environ,
        stdin=b"",
        on_output=said.append,
        on_error_output=aside,
        timeout=COMMAND_SECONDS,
    )
    lines = b"".join(said).split() if status == 0 else []
    length = 64 if repository.object_format == "sha256" else 40
    return [line for line in lines if len(line) == length and not line.strip(b"0123456789abcdef")]


def _alternates(objects_dir: str) -> list[str]:
    try:
        with open(os.path.join(objects_dir, "info", "alternates"), "rb") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return []
    named = (os.fsdecode(line) for line in lines if line and not line.startswith(b"#"))
    return [os.path.normpath(os.path.join(objects_dir, name)) for name in named][:MAX_ALTERNATES]
