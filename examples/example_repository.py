"""Makes a small bare repository to try the server on, without needing git.

In: a folder. Out: ``example.git`` in it, unless ``--if-empty`` is given and something is there
already. Written through gitserve's own core, so that it also shows how to use it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from gitserve._core import RefStore, Snapshot, Store

CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
"""

FILES = {
    "README": b"An example repository, served by gitserve.\n",
    "hello.py": b'print("hello")\n',
    "docs/notes": b"Push is off until the daemon gets --enable=receive-pack.\n",
}


def write_tree(objects: Snapshot, files: dict[str, bytes]) -> bytes:
    """The tree of these paths, written with everything below it; its id."""
    entries: dict[str, tuple[bytes, bytes]] = {}
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        first, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(first, {})[rest] = content
        else:
            entries[first] = (b"100644", objects.write_loose("blob", content))
    for name, below in folders.items():
        # Git sorts a folder as though its name ended in a slash.
        entries[name + "/"] = (b"40000", write_tree(objects, below))
    content = b"".join(
        b"%s %s\0%s" % (mode, name.rstrip("/").encode(), bytes.fromhex(object_id.decode()))
        for name, (mode, object_id) in sorted(entries.items())
    )
    return objects.write_loose("tree", content)


def write_commit(objects: Snapshot, tree_id: bytes, parents: list[bytes], message: str) -> bytes:
    """A commit by nobody in particular; its id."""
    who = b"An Example <example@example.org> %d +0000" % int(time.time())
    lines = [b"tree " + tree_id, *(b"parent " + parent for parent in parents)]
    lines += [b"author " + who, b"committer " + who, b"", message.encode()]
    return objects.write_loose("commit", b"\n".join(lines) + b"\n")


def make_repository(path: Path) -> None:
    """A bare repository at ``path`` with two commits on ``main`` and a tag."""
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "hooks", "info"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "config").write_text(CONFIG)
    (path / "HEAD").write_text("ref: refs/heads/main\n")

    objects = Store.open(str(path / "objects")).snapshot()
    some = {"README": FILES["README"]}
    first = write_commit(objects, write_tree(objects, some), [], "Begin")
    second = write_commit(objects, write_tree(objects, FILES), [first], "Say hello")
    refs = RefStore(str(path))
    refs.update([(b"refs/heads/main", None, second), (b"refs/tags/first", None, first)])


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--if-empty", action="store_true", help="leave a folder with content alone")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if options.if_empty and any(folder.iterdir()):
        return
    make_repository(folder / "example.git")


if __name__ == "__main__":
    main()
