"""Repositories for those who have none: ``python -m benches generate KIND PATH``.

In: a kind, a size, a seed. Out: a bare repository, the same bytes for the same arguments (and the
same git). Everything goes through ``git fast-import`` as a stream.

- ``history``: many commits that change a line or two of a few hundred files;
- ``trees``: few commits over folders of very many files;
- ``refs``: as ``history``, small, and as many refs as the size says;
- ``packs``: as ``history``, in 40 packs and loose objects;
- ``blobs``: a few large files that do not compress, and new versions of them.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benches.gits import clean_environment, git
from benches.variants import into_packs, with_refs
from tests.support.history import data

KINDS = {"history": 10_000, "trees": 50_000, "refs": 35_000, "packs": 4_000, "blobs": 64}
"""And what the size is by default: commits, files, refs, commits, megabytes."""

EPOCH = 1_600_000_000
APART = 600
"""Seconds from one commit to the next, if there is time for all of them."""
SPAN = 90_000_000
"""Seconds for all: what is pushed on top is younger (:mod:`benches.packs`). Were it older, git
would walk all of the history to know that it is complete."""
LINES = 24
FOLDERS = 12
BIG = 8 << 20
"""Bytes of a large file."""


@dataclass(slots=True)
class Stream:
    """What fast-import is told, and what it has been told."""

    rng: random.Random
    number: int = 0
    apart: int = APART

    def commit(self, change: bytes, branch: str = "main", parents: tuple[int, ...] = ()) -> bytes:
        """One commit on top of the branch, or of the commits with these marks."""
        self.number += 1
        when = EPOCH + self.number * self.apart
        who = b"Person %d <p%d@example.org> %d +0000" % (self.number % 40, self.number % 40, when)
        out = b"commit refs/heads/%s\nmark :%d\n" % (branch.encode(), self.number)
        out += b"author %s\ncommitter %s\n" % (who, who)
        out += data(b"Change %d\n" % self.number)
        for word, parent in zip((b"from", b"merge"), parents, strict=False):
            out += b"%s :%d\n" % (word, parent)
        return out + change + b"\n"

    def line(self) -> bytes:
        return b"%x %x value = %d;\n" % (
            self.rng.getrandbits(20),
            self.rng.getrandbits(60),
            self.rng.randrange(1000),
        )


def file_change(path: str, content: bytes) -> bytes:
    """A command of fast-import."""
    return b"M 100644 inline %s\n%s" % (path.encode(), data(content))


def history(seed: int, commits: int, files: int = 400) -> Iterator[bytes]:
    """A long line with side branches of one commit, as merged requests leave it."""
    stream = Stream(random.Random(seed), apart=min(APART, SPAN // commits))
    rng = stream.rng
    names = [f"d{n % FOLDERS}/e{n % (FOLDERS * 5)}/f{n}.txt" for n in range(files)]
    contents = [[stream.line() for _ in range(LINES)] for _ in names]

    def change() -> bytes:
        out = b""
        for _ in range(1 + (rng.random() < 0.4)):
            # Some files change again and again, most hardly ever.
            which = int(files * rng.random() ** 3)
            contents[which][rng.randrange(LINES)] = stream.line()
            out += file_change(names[which], b"".join(contents[which]))
        return out

    yield stream.commit(
        b"".join(file_change(*pair) for pair in zip(names, map(b"".join, contents), strict=True))
    )
    while stream.number < commits:
        if stream.number % 10 == 9 and stream.number + 2 < commits:
            tip = stream.number
            yield stream.commit(change(), "topic", (tip,))
            merged = change()
            yield stream.commit(merged, parents=(tip, tip + 1))
        else:
            yield stream.commit(change())
    yield b"reset refs/heads/topic\nfrom %s\n\n" % (b"0" * 40)


def trees(seed: int, files: int) -> Iterator[bytes]:
    """Wide: two hundred files a folder, and a hundred commits that touch some."""
    stream = Stream(random.Random(seed))
    names = [f"top{n // 20_000}/folder{n // 200}/file{n}.txt" for n in range(files)]
    yield stream.commit(b"".join(file_change(name, stream.line() * 3) for name in names))
    for _ in range(100):
        touched = sorted(set(stream.rng.choices(names, k=20)))
        yield stream.commit(b"".join(file_change(name, stream.line() * 3) for name in touched))


def blobs(seed: int, megabytes: int) -> Iterator[bytes]:
    """Large files, and versions of them that differ a little."""
    stream = Stream(random.Random(seed))
    for number in range(max(1, (megabytes << 20) // BIG)):
        content = bytearray(stream.rng.randbytes(BIG))
        yield stream.commit(file_change(f"big{number}.bin", bytes(content)))
        content[BIG // 2 : BIG // 2 + 100] = stream.rng.randbytes(100)
        yield stream.commit(file_change(f"big{number}.bin", bytes(content)))


def generate(git_path: str, kind: str, path: Path, seed: int = 1, size: int | None = None) -> None:
    """Makes a repository at ``path``, which must not exist."""
    size = KINDS[kind] if size is None else size
    pieces = {
        "history": lambda: history(seed, size),
        "trees": lambda: trees(seed, size),
        "refs": lambda: history(seed, min(2000, size)),
        "packs": lambda: history(seed, size),
        "blobs": lambda: blobs(seed, size),
    }[kind]()
    path.parent.mkdir(parents=True, exist_ok=True)
    git(git_path, "init", "-q", "--bare", "--initial-branch=main", path, cwd=path.parent)
    is_repacked = kind != "blobs"
    fast_import(git_path, path, pieces, in_passing=is_repacked)
    if is_repacked:
        repack(git_path, path)
    if kind == "refs":
        with_refs(git_path, path, size)
    elif kind == "packs":
        into_packs(git_path, path)


def repack(git_path: str, path: Path) -> None:
    """With deltas, and compressed: fast-import's own deltas are poor."""
    quietly = ("-c", "repack.writeBitmaps=false", "-c", "pack.threads=2")
    git(git_path, *quietly, "repack", "-q", "-a", "-d", "-F", cwd=path)


def fast_import(
    git_path: str, path: Path, pieces: Iterator[bytes], *, in_passing: bool = False
) -> None:
    """Feeds the stream without ever holding it whole.

    ``in_passing``: what is written is repacked anyway, so no time is spent on making it small,
    which is three quarters of it.
    """
    command = [git_path, "fast-import", "--quiet", "--force", "--done"]
    if in_passing:
        command[1:1] = ["-c", "core.compression=0"]
        command.append("--depth=0")
    with subprocess.Popen(
        command, cwd=path, stdin=subprocess.PIPE, env=clean_environment()
    ) as importing:
        assert importing.stdin is not None
        for piece in pieces:
            importing.stdin.write(piece)
        importing.stdin.write(b"done\n")
        importing.stdin.close()
    if importing.returncode:
        raise RuntimeError(f"git fast-import: {importing.returncode}")


def main(words: list[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches generate", description=__doc__)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("path", type=Path)
    parser.add_argument("--size", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--git", default=shutil.which("git"))
    options = parser.parse_args(words)
    generate(options.git, options.kind, options.path.resolve(), options.seed, options.size)
