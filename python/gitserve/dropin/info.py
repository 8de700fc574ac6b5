"""The files by which dumb HTTP clients find refs and packs.

In: a repository, ours or dulwich's. Out: lines, or the two files. Git's document:
gitrepository-layout, ``info/refs`` and ``objects/info/packs``; git-update-server-info.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

from gitserve.dropin.lines import write_info_refs
from gitserve.repo import Repo


def generate_info_refs(repo: Any) -> Iterator[bytes]:
    """The lines of ``info/refs``."""
    return write_info_refs(repo.get_refs(), repo.object_store)


def generate_objects_info_packs(repo: Any) -> Iterator[bytes]:
    """The lines of ``objects/info/packs``: file names of packs."""
    if isinstance(repo, Repo):
        for name in _pack_names(repo):
            yield b"P " + os.fsencode(name) + b"\n"
        return
    for pack in repo.object_store.packs:
        yield b"P " + os.path.basename(os.fsencode(pack.data.filename)) + b"\n"


def update_server_info(repo: Any) -> None:
    """Writes both files, each at once."""
    files = {
        os.path.join("info", "refs"): b"".join(generate_info_refs(repo)),
        os.path.join("objects", "info", "packs"): b"".join(generate_objects_info_packs(repo)),
    }
    for name, content in files.items():
        if isinstance(repo, Repo):
            _write(os.path.join(repo.commondir(), name), content)
        else:
            repo._put_named_file(name, content)


def _pack_names(repo: Repo) -> list[str]:
    """Newest first, as a client is best served."""
    folder = os.path.join(repo.native.objects_dir, "pack")
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".pack")]
    except FileNotFoundError:
        return []
    stamps = {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in names}
    return sorted(names, key=lambda name: (-stamps[name], name))


def _write(path: str, content: bytes) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix="tmp_", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
