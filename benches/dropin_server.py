"""A small server written against dulwich's API, to run on dulwich and on gitserve alike.

In: which of the two libraries, whether objects are to be in memory, and git daemon's options.
Out: a daemon. Nothing but the library's name differs between the two, as in a program that changes
its import.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

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


def main() -> None:
    """Serves one repository until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=("dulwich", "gitserve"), required=True)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--repository", required=True, help="below the base path")
    parser.add_argument("--base-path", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--port", type=int, required=True)
    options, _ = parser.parse_known_args()
    disk = Repo(str(options.base_path / options.repository))
    repo: BaseRepo = in_memory(disk) if options.memory else disk
    server = importlib.import_module(f"{options.library}.server")
    name = f"/{options.repository}"
    backend = server.DictBackend({name: repo, name.encode(): repo})
    server.TCPGitServer(backend, options.listen, options.port).serve_forever()


if __name__ == "__main__":
    main()
