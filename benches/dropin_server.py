"""A small server written against dulwich's API, to run on dulwich and on gitserve alike.

In: which of the two libraries, one repository (whose objects may be kept in memory) or a folder of
them, and git daemon's options. Out: a daemon. Nothing but the library's name differs between the
two, as in a program that changes its import.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

from dulwich.repo import BaseRepo, MemoryRepo, Repo


def in_memory(disk: Repo) -> MemoryRepo:
    """A copy whose objects are Python's."""
    memory = MemoryRepo()
    for object_id in disk.object_store:
        memory.object_store.add_object(disk[object_id])
    symbolic = disk.refs.get_symrefs()
    for name in disk.refs.allkeys():
        if name not in symbolic:
            memory.refs[name] = disk.refs[name]
    for name, target in symbolic.items():
        memory.refs.set_symbolic_ref(name, target)
    return memory


class Folder:
    """A backend that opens what it is asked for, each time, as dulwich's own over a file system."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def open_repository(self, path: str | bytes) -> Repo:
        name = path.decode() if isinstance(path, bytes) else path
        return Repo(str(self.base / name.strip("/")))


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=("dulwich", "gitserve"), required=True)
    parser.add_argument("--memory", action="store_true")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--repository", help="below the base path")
    which.add_argument("--folder", action="store_true", help="all in the base path")
    parser.add_argument("--base-path", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--port", type=int, required=True)
    options, _ = parser.parse_known_args()
    server = importlib.import_module(f"{options.library}.server")
    backend: Any
    if options.folder:
        backend = Folder(options.base_path)
    else:
        disk = Repo(str(options.base_path / options.repository))
        repo: BaseRepo = in_memory(disk) if options.memory else disk
        name = f"/{options.repository}"
        backend = server.DictBackend({name: repo, name.encode(): repo})
    server.TCPGitServer(backend, options.listen, options.port).serve_forever()


if __name__ == "__main__":
    main()
