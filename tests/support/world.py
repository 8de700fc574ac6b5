"""Small random repositories that hold one of everything, and all there is to know of each.

In: a seed and a folder. Out: a :class:`World`: a bare repository with merges, criss-cross merges,
several roots, tags, tags of tags, of trees and of blobs, folders that many commits share, renames,
gitlinks, equal and backward dates, hidden refs and a symbolic one; its objects in memory, so that a
test can say what an answer must hold without asking the code under test.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support.gits import Git

KINDS = {"blob": 3, "tag": 4, "commit": 1, "tree": 2}


@dataclass(slots=True)
class Thing:
    """One object."""

    kind: str
    content: bytes

    @property
    def links(self) -> list[tuple[str, str]]:
        """What it names: (role, id); gitlinks are not followed."""
        if self.kind == "blob":
            return []
        if self.kind == "tree":
            raise AssertionError("trees need their hash's length: World.entries")
        found = []
        for line in self.content.partition(b"\n\n")[0].splitlines():
            word, _, rest = line.partition(b" ")
            if word in (b"tree", b"parent", b"object"):
                found.append((word.decode(), rest.decode()))
        return found


class World:
    """One repository."""

    def __init__(self, path: Path, object_format: str) -> None:
        self.path = path
        self.object_format = object_format
        self.things: dict[str, Thing] = {}
        self.refs: dict[str, str] = {}
        """All of them, hidden ones too."""
        self.shallow: tuple[str, ...] = ()
        """The repository's own."""

    def __repr__(self) -> str:
        return f"World({self.path.name})"

    def ids(self, *kinds: str) -> list[str]:
        """Of these kinds, in a fixed order."""
        return [one for one, thing in self.things.items() if thing.kind in kinds]

    @cached_property
    def commits(self) -> list[str]:
        """All of them, oldest first as far as the file order tells."""
        return self.ids("commit")

    def name_of(self, kind: str, content: bytes) -> str:
        """The id of such an object."""
        header = b"%b %d\0" % (kind.encode(), len(content))
        return hashlib.new(self.object_format, header + content).hexdigest()

    def peeled(self, one: str) -> str | None:
        """What a tag stands for in the end; None for what is no tag."""
        if self.things[one].kind != "tag":
            return None
        while self.things[one].kind == "tag":
            one = self.things[one].links[0][1]
        return one

    def entries(self, tree: str) -> list[str]:
        """What a tree names, without gitlinks."""
        content, at, found = self.things[tree].content, 0, []
        raw = 20 if self.object_format == "sha1" else 32
        while at < len(content):
            zero = content.index(b"\0", at)
            if not content[at:zero].startswith(b"160000 "):
                found.append(content[zero + 1 : zero + 1 + raw].hex())
            at = zero + 1 + raw
        return found

    def closure(self, ids: list[str], boundary: frozenset[str] = frozenset()) -> set[str]:
        """Everything that they reach, where the ``boundary`` commits have no parents."""
        seen: set[str] = set()
        todo = [one for one in ids if one in self.things]
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            seen.add(one)
            thing = self.things[one]
            if thing.kind == "tree":
                todo += self.entries(one)
            else:
                todo += [
                    linked
                    for role, linked in thing.links
                    if not (role == "parent" and (one in boundary or one in self.shallow))
                ]
        return seen


def data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _stream(rng: random.Random) -> bytes:
    """For ``git fast-import``."""
    out: list[bytes] = []
    paths = [f"{folder}{name}" for folder in ("", "lib/", "lib/deep/", "doc/") for name in "abc"]
    tips: list[int] = []
    clock = 1_700_000_000
    count = rng.randint(8, 40)
    for mark in range(1, count + 1):
        # mostly forward; sometimes the same second, sometimes a clock that was wrong
        clock += rng.choice((0, 60, 60, 3600, 90_000))
        when = clock - (rng.randint(1, 500_000) if rng.random() < 0.06 else 0)
        parents: list[int] = []
        if tips and rng.random() > 0.04:
            known = range(1, mark)
            first = rng.choice(tips) if rng.random() < 0.8 else rng.choice(known)
            parents = [first]
            while rng.random() < 0.22 and len(parents) < 4:
                other = rng.choice(known)
                if other not in parents:
                    parents.append(other)
        branch = f"refs/heads/b{mark}"
        who = b"A U Thor <author@example.org> %d +0100" % when
        out.append(b"commit %b\nmark :%d\ncommitter %b\n" % (branch.encode(), mark, who))
        out.append(data(b"commit %d\n" % mark))
        for number, parent in enumerate(parents):
            out.append(b"%b :%d\n" % (b"merge" if number else b"from", parent))
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            path = rng.choice(paths)
            action = rng.random()
            if action < 0.72 or not parents:
                lines = [f"line {rng.randrange(6)} of {path}" for _ in range(rng.randint(1, 30))]
                out.append(f"M 100644 inline {path}\n".encode() + data("\n".join(lines).encode()))
            elif action < 0.82:
                out.append(f"D {path}\n".encode())
            elif action < 0.92:
                out.append(
                    f"M 160000 {rng.randrange(1, 16**8):040x} sub/{rng.choice('xy')}\n".encode()
                )
            else:
                out.append(b"M 120000 inline link\n" + data(path.encode()))
        if rng.random() < 0.05 and parents:
            out.append(b"M 100644 inline lib/a\n" + data(b"copied"))
            out.append(b"C lib copy\n" if rng.random() < 0.5 else b"R lib moved\n")
        out.append(b"\n")
        tips = [tip for tip in tips if tip not in parents or rng.random() < 0.3] + [mark]
        if rng.random() < 0.12:
            out.append(b"tag t%d\nfrom :%d\ntagger %b\n" % (mark, mark, who) + data(b"tag\n"))
    kept = set(tips) | {rng.randint(1, count) for _ in range(3)}
    for mark in range(1, count + 1):
        if mark not in kept:
            # branches of fast-import are there for their commits; most shall not be tips
            zero = b"0" * 40
            out.append(b"reset refs/heads/b%d\nfrom %b\n\n" % (mark, zero))
    out.append(b"done\n")
    return b"".join(out)


def make_world(git: Git, path: Path, seed: int, object_format: str = "sha1") -> World:
    """A new repository at ``path``."""
    rng = random.Random(seed)
    git.run("init", "-q", "--bare", f"--object-format={object_format}", "-b", "main", path)
    stream = _stream(rng)
    if object_format == "sha256":
        stream = _widen(stream)
    git.run("fast-import", "--quiet", "--force", "--done", cwd=path, stdin=stream)
    _add_refs(git, path, rng)
    if rng.random() < 0.5:
        git.run("repack", "-adq", cwd=path)
    if rng.random() < 0.3:
        git.run("pack-refs", "--all", cwd=path)
    return read_world(git, path, object_format)


def _widen(stream: bytes) -> bytes:
    """Ids of another length: the zeros of deleted branches, and gitlinks."""
    lines = []
    for line in stream.split(b"\n"):
        if line.startswith(b"M 160000 "):
            line = line[:9] + b"0" * 24 + line[9:]
        elif line == b"from " + b"0" * 40:
            line = b"from " + b"0" * 64
        lines.append(line)
    return b"\n".join(lines)


def _add_refs(git: Git, path: Path, rng: random.Random) -> None:
    listed = git.lines("for-each-ref", "--format=%(refname) %(objectname)", cwd=path)
    refs = dict(line.split(" ") for line in listed)
    commits = git.lines("rev-list", "--all", cwd=path)
    heads = [one for name, one in refs.items() if name.startswith("refs/heads/")]
    updates = [f"create refs/heads/main {rng.choice(heads)}"]
    updates += [f"create refs/hidden/h{n} {rng.choice(commits)}" for n in range(2)]
    tree = git.text("rev-parse", f"{rng.choice(heads)}^{{tree}}", cwd=path)
    updates.append(f"create refs/odd/tree {tree}")
    inside = git.lines("ls-tree", "-r", tree, cwd=path)
    blobs = [line.split()[2] for line in inside if line.split()[1] == "blob"]
    if blobs:
        updates.append(f"create refs/odd/blob {rng.choice(blobs)}")
    if rng.random() < 0.5:
        updates.append(f"create refs/heads/topic/one {rng.choice(commits)}")
    for name, target in [("of-tree", tree), *([("of-blob", blobs[0])] if blobs else [])]:
        if rng.random() < 0.6:
            updates.append(f"create refs/tags/{name} {_tag(git, path, name, target)}")
    first = _tag(git, path, "first", rng.choice(commits))
    second = _tag(git, path, "second", first)
    updates.append(f"create refs/tags/second {second}")
    if rng.random() < 0.5:
        updates.append(f"create refs/tags/first {first}")
    if rng.random() < 0.5:
        updates.append(f"create refs/tags/light {rng.choice(commits)}")
    git.run("update-ref", "--stdin", cwd=path, stdin="\n".join([*updates, ""]).encode())
    if rng.random() < 0.5:
        git.run("symbolic-ref", "refs/heads/alias", "refs/heads/main", cwd=path)
    head = rng.random()
    if head < 0.2:
        git.run("update-ref", "--no-deref", "HEAD", rng.choice(commits), cwd=path)
    elif head < 0.3:
        git.run("symbolic-ref", "HEAD", "refs/heads/unborn", cwd=path)


def _tag(git: Git, path: Path, name: str, target: str) -> str:
    kind = git.text("cat-file", "-t", target, cwd=path)
    who = "T <t@example.org> 1700000000 +0000"
    text = f"object {target}\ntype {kind}\ntag {name}\ntagger {who}\n\nx\n"
    return git.run("mktag", cwd=path, stdin=text.encode()).stdout.decode().strip()


def read_world(git: Git, path: Path, object_format: str) -> World:
    """What is in a repository."""
    world = World(path, object_format)
    listed = git.run("cat-file", "--batch", "--batch-all-objects", "--unordered", cwd=path).stdout
    at = 0
    found = {}
    while at < len(listed):
        end = listed.index(b"\n", at)
        one, kind, size = listed[at:end].decode().split()
        found[one] = Thing(kind, listed[end + 1 : end + 1 + int(size)])
        at = end + 1 + int(size) + 1
    world.things = dict(sorted(found.items()))
    refs = git.lines("for-each-ref", "--format=%(refname) %(objectname)", cwd=path)
    world.refs = dict(line.split(" ") for line in refs)
    shallow = path / "shallow"
    if shallow.exists():
        world.shallow = tuple(shallow.read_text().split())
    return world


def make_shallow_world(git: Git, path: Path, origin: World, depth: int) -> World:
    """A clone that lacks history itself."""
    git.run(
        "clone",
        "-q",
        "--mirror",
        "--no-single-branch",
        f"--depth={depth}",
        f"file://{origin.path}",
        path,
    )
    git.run("config", "--unset-all", "remote.origin.fetch", cwd=path)
    return read_world(git, path, origin.object_format)
