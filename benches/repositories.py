"""The repositories that are measured: a copy of the user's, or a generated one.

In: a path or a size. Out: bare copies below the work folder, made once and kept for the next run.
The user's own repository is only read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benches import conversations
from benches.conversations import Conversation
from tests.support.history import HistoryShape, data, history

REFS = 1000
"""Refs of the repository for ls-refs."""
BEHIND = 20
HAVES = 16
"""What git says in its first round."""


@dataclass(frozen=True, slots=True)
class Repositories:
    """Copies of one repository, relative to the folder that is served."""

    base: Path
    plain: Path
    """One pack, no bitmap."""
    bitmap: Path
    """The same pack with one."""
    refs: Path
    """The same objects and exactly :data:`REFS` refs."""
    branch: str


def git(git_path: str, *arguments: str | Path, cwd: Path, stdin: bytes = b"") -> bytes:
    """Runs git, without anybody's configuration."""
    env = {
        **os.environ,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = subprocess.run(
        [git_path, *arguments], cwd=cwd, input=stdin, capture_output=True, env=env
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-2000:]
        raise RuntimeError(f"git {' '.join(map(str, arguments))}: {said}")
    return done.stdout


def prepare(git_path: str, work: Path, source: Path | None, shape: HistoryShape) -> Repositories:
    """The copies, made when they are not there."""
    if source is None:
        key = f"generated-{shape.commits}-{shape.files}"
    else:
        heads = git(git_path, "for-each-ref", cwd=source)
        digest = hashlib.sha256(str(source.resolve()).encode() + heads).hexdigest()[:12]
        key = f"{source.resolve().name.removesuffix('.git')}-{digest}"
    base = work / key
    found = Repositories(base, base / "plain.git", base / "bitmap.git", base / "refs.git", "")
    if not (base / "ready").exists():
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir(parents=True)
        make(git_path, found, source, shape)
        (base / "ready").touch()
    head = git(git_path, "symbolic-ref", "HEAD", cwd=found.plain).decode().strip()
    return Repositories(base, found.plain, found.bitmap, found.refs, head)


def make(git_path: str, found: Repositories, source: Path | None, shape: HistoryShape) -> None:
    """All of them."""
    plain = found.plain
    if source is None:
        git(git_path, "init", "-q", "--bare", "--initial-branch=main", plain, cwd=found.base)
        stream = b"".join(history(1, shape))
        git(git_path, "fast-import", "--quiet", "--force", "--done", cwd=plain, stdin=stream)
    else:
        url = f"file://{source.resolve()}"
        git(git_path, "clone", "-q", "--mirror", url, plain, cwd=found.base)
    quietly = ("-c", "repack.writeBitmaps=false")
    git(
        git_path,
        *quietly,
        "repack",
        "-q",
        "-a",
        "-d",
        *(["-f"] if source is None else []),
        cwd=plain,
    )
    git(git_path, "pack-refs", "--all", cwd=plain)
    shutil.copytree(plain, found.bitmap)
    git(git_path, "repack", "-q", "-a", "-d", "-b", cwd=found.bitmap)
    shutil.copytree(plain, found.refs)
    tips = git(git_path, "rev-list", f"--max-count={REFS}", "HEAD", cwd=plain).decode().split()
    head = git(git_path, "symbolic-ref", "HEAD", cwd=plain).decode().strip()
    lines = [f"{tips[0]} {head}\n"]
    lines += [f"{tips[n % len(tips)]} refs/tags/bench/{n:05}\n" for n in range(REFS - 1)]
    lines.sort(key=lambda line: line.split(" ")[1])
    shutil.rmtree(found.refs / "refs")
    (found.refs / "refs/heads").mkdir(parents=True)
    header = "# pack-refs with: peeled fully-peeled sorted \n"
    (found.refs / "packed-refs").write_text(header + "".join(lines))


def fetches_behind(git_path: str, repository: Path, path: str, count: int) -> list[Conversation]:
    """Clients that are :data:`BEHIND` commits behind, each somewhere else."""
    line = git(git_path, "rev-list", "--first-parent", "HEAD", cwd=repository).decode().split()
    made = []
    for number in range(min(count, max(1, len(line) - BEHIND - 1))):
        tip, behind = line[number], line[min(number + BEHIND, len(line) - 1)]
        listed = git(git_path, "rev-list", f"--max-count={HAVES}", behind, cwd=repository)
        made.append(conversations.fetch(path, [tip], listed.decode().split()))
    return made


def pushes(git_path: str, repository: Path, path: str, count: int) -> list[Conversation]:
    """Pushes of one commit each, on top of the default branch, to branches of their own."""
    scratch = repository.with_name("scratch.git")
    shutil.rmtree(scratch, ignore_errors=True)
    git(git_path, "init", "-q", "--bare", scratch, cwd=repository.parent)
    (scratch / "objects/info/alternates").write_text(f"{repository / 'objects'}\n")
    tip = git(git_path, "rev-parse", "HEAD", cwd=repository).decode().strip()
    who = b"Bench <bench@example.org> 1700000000 +0000"
    stream = []
    for number in range(count):
        stream += [
            b"commit refs/heads/bench-%d\nauthor %s\ncommitter %s\n" % (number, who, who),
            data(b"Push %d\n" % number),
            b"from %s\nM 100644 inline bench/%d.txt\n" % (tip.encode(), number),
            data(b"A line of push %d\n" % number * 20),
        ]
    git(
        git_path,
        "fast-import",
        "--quiet",
        "--done",
        cwd=scratch,
        stdin=b"".join([*stream, b"done\n"]),
    )
    made = []
    for number in range(count):
        ref = f"refs/heads/bench-{number}"
        new = git(git_path, "rev-parse", ref, cwd=scratch).decode().strip()
        revs = f"{new}\n^{tip}\n".encode()
        packing = ("pack-objects", "-q", "--revs", "--thin", "--stdout", "--delta-base-offset")
        made.append(
            conversations.push(path, ref, new, git(git_path, *packing, cwd=scratch, stdin=revs))
        )
    shutil.rmtree(scratch)
    return made
