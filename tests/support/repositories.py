"""Repositories of every form a server meets, made by real git.

In: a git and an empty folder. Out: a repository in that folder. Each builder is one form; what is
special about it is said in its docstring. Everything is deterministic.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.gits import Git
from tests.support.history import EPOCH, HistoryShape, data, history

WHO = b"A Tester <tester@example.org> %d +0000" % EPOCH

LITTLE = HistoryShape(commits=60, files=15, lines=25, tag_every=20)
"""Enough for merges, tags, deltas and several rounds of negotiation, made in a moment."""


def new_bare(git: Git, path: Path, *options: str) -> None:
    """An empty bare repository that the daemon exports."""
    git.run("init", "--quiet", "--bare", "--initial-branch=main", *options, path)
    (path / "git-daemon-export-ok").touch()


def feed(git: Git, path: Path, stream: bytes, *options: str) -> None:
    """Runs a ``git fast-import`` stream."""
    git.run("fast-import", "--quiet", "--force", "--done", *options, cwd=path, stdin=stream)


def feed_history(
    git: Git, path: Path, seed: int, shape: HistoryShape, onto: str | None = None
) -> None:
    """Adds a generated history, onto a ref that is there when it is named."""
    if onto is not None:
        onto = git.text("rev-parse", "--verify", onto, cwd=path)
    feed(git, path, b"".join(history(seed, shape, onto=onto)))


def empty(git: Git, path: Path) -> None:
    """No ref, no object, an unborn HEAD."""
    new_bare(git, path)


def small(git: Git, path: Path) -> None:
    """All kinds of tree entries and names, a merge, tags of everything, a tag of a tag."""
    new_bare(git, path)
    gitlink = b"1234567890" * 4
    stream = [
        b"blob\nmark :100\n" + data(b"the same bytes twice\n"),
        b"commit refs/heads/main\nmark :1\nauthor %s\ncommitter %s\n" % (WHO, WHO),
        data("Premier commit: \u00e9t\u00e9\n".encode()),
        b"M 100644 inline README\n" + data(b"hello\n" * 40),
        b"M 100755 inline bin/run\n" + data(b"#!/bin/sh\n"),
        b"M 120000 inline link\n" + data(b"bin/run"),
        b"M 160000 %s sub/module\n" % gitlink,
        b"M 100644 inline .gitmodules\n",
        data(b'[submodule "sub/module"]\n\tpath = sub/module\n\turl = ../elsewhere.git\n'),
        "M 100644 :100 dossier/\u00e9t\u00e9 \u96ea.txt\n".encode(),
        b"M 100644 :100 a.b\nM 100644 :100 a/b\nM 100644 :100 a0\n",
        b"M 100644 inline empty\n" + data(b""),
        b"commit refs/heads/side\nmark :2\nauthor %s\ncommitter %s\n" % (WHO, WHO),
        data(b"On the side\n") + b"from :1\n",
        b"M 100644 inline side\n" + data(b"side\n"),
        b"commit refs/heads/main\nmark :3\nauthor %s\ncommitter %s\n" % (WHO, WHO),
        data(b"On main\n") + b"from :1\n",
        b"M 100644 inline README\n" + data(b"hello\n" * 41),
        b"commit refs/heads/main\nmark :4\nauthor %s\ncommitter %s\n" % (WHO, WHO),
        data(b"Merge\n") + b"from :3\nmerge :2\n",
        b"M 100644 inline side\n" + data(b"side\n"),
        b"reset refs/tags/light\nfrom :3\n\n",
        b"tag annotated\nmark :5\nfrom :4\ntagger %s\n" % WHO + data(b"A tag\n"),
        b"tag of-a-tag\nfrom :5\ntagger %s\n" % WHO + data(b"A tag of a tag\n"),
        b"tag of-a-blob\nfrom :100\ntagger %s\n" % WHO + data(b"A tag of a blob\n"),
        b"done\n",
    ]
    feed(git, path, b"".join(stream))
    tree_id = git.text("rev-parse", "main^{tree}", cwd=path)
    git.run("update-ref", "refs/tags/tree", tree_id, cwd=path)
    git.run("update-ref", "refs/notes/elsewhere", "side", cwd=path)


def lively(git: Git, path: Path) -> None:
    """A generated history with merges and tags, in one pack with deltas."""
    new_bare(git, path)
    feed_history(git, path, 1, LITTLE)
    git.run("repack", "-q", "-a", "-d", "-f", cwd=path)
    git.run("pack-refs", "--all", cwd=path)


def many_refs(git: Git, path: Path, count: int = 2200) -> None:
    """Thousands of refs, most packed, some loose over packed ones, annotated tags among them."""
    new_bare(git, path)
    feed_history(git, path, 2, LITTLE)
    commits = git.lines("rev-list", "main", cwd=path)
    updates = [
        f"create refs/{kind}/group{number % 37}/ref-{number:05} {commits[number % len(commits)]}\n"
        for number in range(count)
        for kind in (("heads", "tags", "changes")[number % 3],)
    ]
    git.run("update-ref", "--stdin", cwd=path, stdin="".join(updates).encode())
    git.run("pack-refs", "--all", "--prune", cwd=path)
    again = [
        f"update refs/heads/group{number % 37}/ref-{number:05} {commits[0]}\n"
        for number in range(0, 300, 3)
    ]
    git.run("update-ref", "--stdin", cwd=path, stdin="".join(again).encode())


def scattered(git: Git, path: Path) -> None:
    """Many small packs and loose objects, with objects that are in several of them."""
    new_bare(git, path)
    git.run("config", "fastimport.unpackLimit", "1", cwd=path)
    for piece in range(10):
        shape = HistoryShape(commits=8, files=6, lines=20, tag_every=0)
        feed_history(git, path, 20 + piece, shape, "refs/heads/main" if piece else None)
        if piece == 5:
            # Without -d: everything so far once more, in a pack beside the others.
            git.run("repack", "-q", "-a", cwd=path)
    # Loose ones: unpacked from a pack that then goes.
    shape = HistoryShape(commits=8, files=6, lines=20, tag_every=4)
    feed_history(git, path, 40, shape, "refs/heads/main")
    newest = max((path / "objects/pack").glob("*.pack"), key=lambda pack: pack.stat().st_mtime_ns)
    aside = path / "aside.pack"
    shutil.copy(newest, aside)
    for part in newest.parent.glob(newest.stem + ".*"):
        part.unlink()
    git.run("unpack-objects", "-q", cwd=path, stdin=aside.read_bytes())
    aside.unlink()


def multi_pack_index(git: Git, path: Path) -> None:
    """Many packs under one index, and a pack that came after it."""
    scattered(git, path)
    git.run("multi-pack-index", "write", cwd=path)
    feed_history(git, path, 50, HistoryShape(commits=5, files=4), "refs/heads/main")


def unpacked(git: Git, path: Path) -> None:
    """Loose objects only."""
    new_bare(git, path)
    git.run("config", "fastimport.unpackLimit", "100000", cwd=path)
    feed_history(git, path, 3, HistoryShape(commits=20, files=8, lines=20, tag_every=5))


def alternates(git: Git, path: Path) -> None:
    """Most objects live in another repository, which borrows from a third one itself."""
    third = path.with_name(path.name + "-third")
    second = path.with_name(path.name + "-second")
    lively(git, third)
    for here, there in ((second, third), (path, second)):
        new_bare(git, here)
        relative = os.path.relpath(there / "objects", here / "objects")
        (here / "objects/info/alternates").write_text(relative + "\n")
        tip = git.text("rev-parse", "main", cwd=there)
        git.run("update-ref", "refs/heads/main", tip, cwd=here)
        seed = len(here.name)
        feed_history(
            git, here, seed, HistoryShape(commits=10, files=4, tag_every=5), "refs/heads/main"
        )


def non_bare(git: Git, path: Path) -> None:
    """A working repository with a ``.git`` folder."""
    git.run("init", "--quiet", "--initial-branch=main", path)
    feed_history(git, path, 4, LITTLE)
    git.run("reset", "--quiet", "--hard", cwd=path)
    (path / ".git/git-daemon-export-ok").touch()


def worktree(git: Git, path: Path) -> None:
    """A linked worktree: ``.git`` is a file, refs and objects are elsewhere, HEAD is its own."""
    main = path.with_name(path.name + "-main")
    non_bare(git, main)
    git.run("worktree", "add", "--quiet", "-b", "linked", path, "main~3", cwd=main)
    (main / ".git/worktrees" / path.name / "git-daemon-export-ok").touch()


def sha256(git: Git, path: Path) -> None:
    """The other object format."""
    new_bare(git, path, "--object-format=sha256")
    feed_history(git, path, 5, LITTLE)
    git.run("repack", "-q", "-a", "-d", cwd=path)


def detached(git: Git, path: Path) -> None:
    """HEAD names a commit that no branch is at."""
    lively(git, path)
    commit_id = git.text("rev-parse", "main~7", cwd=path)
    (path / "HEAD").write_text(commit_id + "\n")


def unborn(git: Git, path: Path) -> None:
    """HEAD names a branch that does not exist; others do."""
    lively(git, path)
    git.run("symbolic-ref", "HEAD", "refs/heads/not-yet", cwd=path)


def indexed(git: Git, path: Path) -> None:
    """Bitmaps, a reverse index and a commit-graph: all that git may leave beside a pack."""
    new_bare(git, path)
    feed_history(git, path, 6, LITTLE)
    git.run("-c", "pack.writeReverseIndex=true", "repack", "-q", "-a", "-d", "-b", cwd=path)
    git.run("commit-graph", "write", "--reachable", cwd=path)
    feed_history(git, path, 60, HistoryShape(commits=10, files=4, tag_every=5), "refs/heads/main")


def old_index(git: Git, path: Path) -> None:
    """A pack with a version 1 index."""
    new_bare(git, path)
    feed_history(git, path, 7, LITTLE)
    git.run("-c", "pack.indexVersion=1", "repack", "-q", "-a", "-d", cwd=path)


def shallow(git: Git, path: Path) -> None:
    """A repository whose own history is cut off."""
    whole = path.with_name(path.name + "-whole")
    lively(git, whole)
    git.run("clone", "--quiet", "--bare", "--depth=5", f"file://{whole}", path)
    git.run("remote", "remove", "origin", cwd=path)
    (path / "git-daemon-export-ok").touch()


def large_blob(git: Git, path: Path, size: int = 101 * 1024 * 1024) -> None:
    """A blob of more than 100 MB that does not compress, beside small ones."""
    new_bare(git, path)
    content = random.Random(8).randbytes(size)
    stream = [
        b"commit refs/heads/main\nmark :1\nauthor %s\ncommitter %s\n" % (WHO, WHO),
        data(b"Large\n"),
        b"M 100644 inline large.bin\n" + data(content),
        b"M 100644 inline small\n" + data(b"small\n"),
        b"done\n",
    ]
    feed(git, path, b"".join(stream))


FORMS: dict[str, Callable[[Git, Path], None]] = {
    builder.__name__: builder
    for builder in (
        small,
        lively,
        many_refs,
        scattered,
        multi_pack_index,
        unpacked,
        alternates,
        non_bare,
        worktree,
        sha256,
        detached,
        unborn,
        indexed,
        old_index,
        shallow,
    )
}
"""The forms that hold objects, except for the large one."""
