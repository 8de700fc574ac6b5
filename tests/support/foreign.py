"""Repositories that are no folders: dulwich's in memory, and one that a stranger wrote over a dict.

In: a repository made by real git. Out: the same objects and refs in another keeping.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dulwich.object_format import SHA1, SHA256, ObjectFormat
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import ShaFile
from dulwich.pack import PackStreamCopier
from dulwich.repo import MemoryRepo
from gitserve.server import BackendRepo

from tests.support.gits import Git

KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}


def objects_of(git: Git, path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """Id, kind and content of all that the repository holds."""
    listed = git.run("cat-file", "--batch-all-objects", "--batch", cwd=path).stdout
    while listed:
        head, _, listed = listed.partition(b"\n")
        object_id, kind, size = head.split(b" ")
        yield object_id, KINDS[kind], listed[: int(size)]
        listed = listed[int(size) + 1 :]


def refs_of(git: Git, path: Path) -> dict[bytes, bytes]:
    """Names and ids, HEAD not among them."""
    listed = git.run("for-each-ref", "--format=%(refname) %(objectname)", cwd=path).stdout
    return dict(line.split(b" ", 1) for line in listed.splitlines())


def format_of(git: Git, path: Path) -> ObjectFormat:
    name = git.text("rev-parse", "--show-object-format", cwd=path)
    return SHA256 if name == "sha256" else SHA1


def memory_repo(git: Git, path: Path) -> MemoryRepo:
    """dulwich's repository in memory."""
    repo = MemoryRepo()
    repo.object_format = format_of(git, path)
    repo.object_store = MemoryObjectStore(object_format=repo.object_format)
    for object_id, kind, content in objects_of(git, path):
        found = ShaFile.from_raw_string(kind, content, object_id, object_format=repo.object_format)
        repo.object_store.add_object(found)
    for name, value in refs_of(git, path).items():
        repo.refs.set_if_equals(name, None, value)
    repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")
    return repo


class DictObjects:
    """Objects in a dict; counts what is asked of it."""

    def __init__(self, git: Git, path: Path) -> None:
        self.object_format = format_of(git, path)
        self.held = {object_id: (kind, data) for object_id, kind, data in objects_of(git, path)}
        self.reads = 0
        self._git = git
        self._incoming = path.with_name(path.name + "-incoming")
        git.run("init", "--quiet", "--bare", f"--object-format={self.object_format.name}",
                self._incoming)  # fmt: skip
        (self._incoming / "objects/info/alternates").write_text(f"{path}/objects\n")

    def __contains__(self, object_id: bytes) -> bool:
        return object_id in self.held

    def get_raw(self, object_id: bytes) -> tuple[int, bytes]:
        self.reads += 1
        return self.held[object_id]

    def add_thin_pack(self, read_all: Any, read_some: Any) -> None:
        """The old form, without ``max_input_size``. dulwich finds the pack's end, git reads it."""
        pack = io.BytesIO()
        PackStreamCopier(self.object_format.hash_func, read_all, read_some, pack).verify()
        git, incoming = self._git, self._incoming
        git.run("index-pack", "--stdin", "--fix-thin", cwd=incoming, stdin=pack.getvalue())
        added = objects_of(git, incoming)
        self.held.update({object_id: (kind, data) for object_id, kind, data in added})


class DictRefs:
    """Refs in a dict. HEAD is ``main``."""

    def __init__(self, held: dict[bytes, bytes]) -> None:
        self.held = held

    def set_if_equals(self, name: bytes, old: bytes | None, new: bytes) -> bool:
        if not self._is(name, old):
            return False
        self.held[name] = new
        return True

    def remove_if_equals(self, name: bytes, old: bytes | None) -> bool:
        if not self._is(name, old):
            return False
        self.held.pop(name, None)
        return True

    def _is(self, name: bytes, old: bytes | None) -> bool:
        if old is None:
            return True
        now = self.held.get(name)
        return now == old or (now is None and not old.strip(b"0"))


class DictRepo:
    """Subclasses nothing and has nothing that is optional: no configuration, hooks or symrefs."""

    def __init__(self, git: Git, path: Path) -> None:
        self.object_store = DictObjects(git, path)
        self.object_format = self.object_store.object_format.name
        self.refs = DictRefs(refs_of(git, path))

    def get_refs(self) -> dict[bytes, bytes]:
        head = self.refs.held.get(b"refs/heads/main")
        return {**self.refs.held, **({b"HEAD": head} if head else {})}


class DeclaredRepo(DictRepo, BackendRepo):
    """The same, declared to be what a backend returns; leaves ``find_missing_objects`` alone."""


FOREIGN: dict[str, Any] = {"memory": memory_repo, "dict": DictRepo, "declared": DeclaredRepo}
"""Each kind of repository that is no folder, from one that is."""
