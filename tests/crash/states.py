"""What a disk may hold after a power failure.

In: the files as they were, and the record of what was done to them. Out: the states that a file
system may come up with when it was cut off in between. Only what POSIX promises is relied on:

- what was written to a file is there for certain once that file was synced;
- a name is there (or gone) for certain once its folder was synced;
- of all the rest any part may be there, in any order; a rename within a folder is one step.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.crash.interposed import Operation


@dataclass(slots=True, eq=False)
class File:
    """Contents now, and when they were last synced."""

    content: bytes = b""
    synced: bytes = b""


@dataclass(slots=True, eq=False)
class Folder:
    """Names now, names when last synced, and the steps in between."""

    entries: dict[str, Node] = field(default_factory=dict)
    synced: dict[str, Node] = field(default_factory=dict)
    pending: list[dict[str, Node | None]] = field(default_factory=list)

    def change(self, step: dict[str, Node | None]) -> None:
        """Changes several names at once."""
        _apply(self.entries, step)
        self.pending.append(step)

    def sync(self) -> None:
        """The disk has it."""
        self.synced = dict(self.entries)
        self.pending.clear()


Node: TypeAlias = "File | Folder"
ChooseContent: TypeAlias = "Callable[[File], bytes]"
ChooseSteps: TypeAlias = "Callable[[Folder], Sequence[dict[str, Node | None]]]"


def _apply(entries: dict[str, Node], step: dict[str, Node | None]) -> None:
    for name, node in step.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


class Disk:
    """A folder tree that is followed operation by operation."""

    def __init__(self, root: Path) -> None:
        self._prefix = str(root)
        self.root = _read(root)

    def rename_root(self, root: Path) -> None:
        """The record calls the root by this name."""
        self._prefix = str(root)

    def do(self, operation: Operation) -> None:
        """What the operation does; ``told`` and ``failed`` do nothing."""
        match operation.what:
            case "told" | "failed":
                return
            case "create":
                self._set(operation.path, File())
            case "mkdir":
                self._set(operation.path, Folder())
            case "truncate":
                self._file(operation.path).content = b""
            case "write":
                file = self._file(operation.path)
                head = file.content[: operation.offset].ljust(operation.offset, b"\0")
                tail = file.content[operation.offset + len(operation.content) :]
                file.content = head + operation.content + tail
            case "resize":
                file = self._file(operation.path)
                file.content = file.content[: operation.offset].ljust(operation.offset, b"\0")
            case "link":
                self._set(operation.to, self._at(operation.path))
            case "rename":
                self._rename(operation.path, operation.to)
            case "unlink" | "rmdir":
                self._set(operation.path, None)
            case "sync":
                node = self._at(operation.path)
                if isinstance(node, Folder):
                    node.sync()
                else:
                    node.synced = node.content
            case other:
                raise AssertionError(f"not modelled: {other}")

    def _rename(self, old: str, new: str) -> None:
        node = self._at(old)
        (from_folder, from_name), (to_folder, to_name) = self._place(old), self._place(new)
        if from_folder is to_folder:
            from_folder.change({from_name: None, to_name: node})
        else:
            to_folder.change({to_name: node})
            from_folder.change({from_name: None})

    def _set(self, path: str, node: Node | None) -> None:
        folder, name = self._place(path)
        folder.change({name: node})

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, name = os.path.split(path)
        folder = self._at(parent)
        assert isinstance(folder, Folder), path
        return folder, name

    def _file(self, path: str) -> File:
        node = self._at(path)
        assert isinstance(node, File), path
        return node

    def _at(self, path: str) -> Node:
        assert path.startswith(self._prefix), path
        node: Node = self.root
        for name in path[len(self._prefix) :].split("/"):
            if name:
                assert isinstance(node, Folder), path
                node = node.entries[name]
        return node

    def states(self, rng: random.Random, many: int) -> Iterator[Picture]:
        """What may be on the disk now: the extremes, and ``many`` at random."""

        def nothing(_folder: Folder) -> Sequence[dict[str, Node | None]]:
            return ()

        def everything(folder: Folder) -> Sequence[dict[str, Node | None]]:
            return folder.pending

        def some(folder: Folder) -> Sequence[dict[str, Node | None]]:
            return [step for step in folder.pending if rng.random() < 0.5]

        def torn(file: File) -> bytes:
            kind = rng.randrange(4)
            if kind == 0 or file.content == file.synced:
                return file.content
            if kind == 1:
                return file.synced
            cut = rng.randrange(len(file.content) + 1)
            if kind == 2:
                return file.content[:cut]
            return file.content[:cut] + b"\0" * (len(file.content) - cut)

        yield self._picture(nothing, lambda file: file.synced)
        yield self._picture(nothing, lambda file: file.content)
        yield self._picture(everything, lambda file: file.synced)
        yield self._picture(everything, lambda file: file.content)
        for _ in range(many):
            yield self._picture(some, torn)

    def _picture(self, steps: ChooseSteps, content: ChooseContent) -> Picture:
        contents: dict[File, bytes] = {}

        def draw(folder: Folder) -> dict[str, Drawn]:
            entries = dict(folder.synced)
            for step in steps(folder):
                _apply(entries, step)
            drawn: dict[str, Drawn] = {}
            for name, node in sorted(entries.items()):
                if isinstance(node, Folder):
                    drawn[name] = draw(node)
                else:
                    # two names of one file show the same
                    if node not in contents:
                        contents[node] = content(node)
                    drawn[name] = (id(node), contents[node])
            return drawn

        return Picture(draw(self.root))


Drawn: TypeAlias = "dict[str, Drawn] | tuple[int, bytes]"


@dataclass(frozen=True, slots=True)
class Picture:
    """One possible state."""

    tree: dict[str, Drawn]

    def fingerprint(self) -> str:
        """Equal for equal states."""
        digest = hashlib.sha256()

        def add(tree: dict[str, Drawn]) -> None:
            for name, drawn in tree.items():
                digest.update(f"{len(name)} {name} ".encode())
                if isinstance(drawn, dict):
                    add(drawn)
                    digest.update(b"end")
                else:
                    digest.update(f"{len(drawn[1])} ".encode() + drawn[1])

        add(self.tree)
        return digest.hexdigest()

    def write(self, root: Path) -> None:
        """Makes it, in a folder that is not there."""
        first_names: dict[int, Path] = {}

        def make(folder: Path, tree: dict[str, Drawn]) -> None:
            folder.mkdir()
            for name, drawn in tree.items():
                path = folder / name
                if isinstance(drawn, dict):
                    make(path, drawn)
                elif drawn[0] in first_names:
                    os.link(first_names[drawn[0]], path)
                else:
                    path.write_bytes(drawn[1])
                    first_names[drawn[0]] = path

        make(root, self.tree)


def _read(folder: Path) -> Folder:
    made = Folder()
    for path in folder.iterdir():
        if path.is_dir():
            made.entries[path.name] = _read(path)
        else:
            content = path.read_bytes()
            made.entries[path.name] = File(content, content)
    made.sync()
    return made
