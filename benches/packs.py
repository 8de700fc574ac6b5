"""Commits and the packs that bring them, made without git, so that ten thousand take a second.

In: a repository and how many. Out: thin packs of one commit each: the commit, its root tree as a
delta of a tree that the server has (as git sends it), and one blob. SHA-1 repositories only.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from benches.gits import git

COMMIT, BLOB, REF_DELTA = 1, 3, 7
WHO = b"Bench <bench@example.org> 1700000000 +0000"


def object_id(kind: bytes, content: bytes) -> bytes:
    """What git calls it."""
    return hashlib.sha1(b"%s %d\0%s" % (kind, len(content), content)).digest()


def varint(number: int) -> bytes:
    """Seven bits a byte, the least first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def entry(kind: int, content: bytes, base: bytes = b"") -> bytes:
    """An object in a pack."""
    size = len(content)
    first = kind << 4 | size & 15
    head = bytes([first | 128]) + varint(size >> 4) if size > 15 else bytes([first])
    return head + base + zlib.compress(content, 1)


def copy(start: int, size: int) -> bytes:
    """Delta instructions that take a part of the base."""
    out = b""
    while size:
        step = min(size, 0xFFFF)
        out += b"\xbf" + struct.pack("<IH", start, step)
        start, size = start + step, size - step
    return out


@dataclass(frozen=True, slots=True)
class Tree:
    """A root tree that the server has."""

    content: bytes

    def place(self, name: bytes) -> tuple[int, int]:
        """From where to where the entry is, or would be."""
        at = 0
        while at < len(self.content):
            nul = self.content.index(b"\0", at)
            mode, _, found = self.content[at:nul].partition(b" ")
            end = nul + 21
            if found == name:
                return at, end
            if found + (b"/" if mode == b"40000" else b"") > name:
                return at, at
            at = end
        return at, at

    def with_file(self, name: bytes, blob: bytes) -> tuple[bytes, bytes]:
        """The tree with a file in it, and the delta that makes it from this one."""
        start, end = self.place(name)
        line = b"100644 " + name + b"\0" + blob
        content = self.content[:start] + line + self.content[end:]
        instructions = copy(0, start) + bytes([len(line)]) + line
        instructions += copy(end, len(self.content) - end)
        return content, varint(len(self.content)) + varint(len(content)) + instructions


@dataclass(frozen=True, slots=True)
class OneCommit:
    """A commit and the pack that brings it."""

    name: str
    pack: bytes


def one_commit(tree: Tree, parent: str, lane: int, number: int) -> OneCommit:
    """Changes the file that belongs to ``lane``."""
    blob = b"A line of push %d of %d\n" % (number, lane) * 20
    content, delta = tree.with_file(b"bench-%03d" % lane, object_id(b"blob", blob))
    lines = b"tree %s\nparent %s\n" % (object_id(b"tree", content).hex().encode(), parent.encode())
    commit = lines + b"author %s\ncommitter %s\n\nPush %d\n" % (WHO, WHO, number)
    pack = b"PACK" + struct.pack(">II", 2, 3) + entry(COMMIT, commit)
    pack += entry(REF_DELTA, delta, object_id(b"tree", tree.content)) + entry(BLOB, blob)
    return OneCommit(object_id(b"commit", commit).hex(), pack + hashlib.sha1(pack).digest())


def root_tree(git_path: str, repository: Path) -> Tree:
    """Of the default branch."""
    return Tree(git(git_path, "cat-file", "tree", "HEAD^{tree}", cwd=repository))
