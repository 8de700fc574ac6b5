"""The repositories that are measured: a copy of the user's, or a generated one.

In: a path or a size. Out: bare copies below the work folder, each made when it is first needed and
kept for the next run. The user's own repository is only read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benches import generate
from benches.gits import git
from benches.variants import into_packs, linked_copy, with_refs

SETTINGS = {
    "uploadpack.allowFilter": "true",
    # Versions 0 and 2 alike: requests that all differ want commits that no ref names.
    "uploadpack.allowAnySHA1InWant": "true",
}


@dataclass(frozen=True, slots=True)
class Repositories:
    """Copies of one repository, in the folder that is served."""

    git_path: str
    base: Path
    kept: bool
    """It is measured as it is, packs and all."""

    @property
    def plain(self) -> Path:
        """One pack, no bitmap; or the repository as it is."""
        return self.base / "plain.git"

    def served(self, repository: Path) -> str:
        """What a client calls it."""
        return f"/{repository.relative_to(self.base)}"

    def variant(self, name: str, change: Callable[[Path], object]) -> Path:
        """A copy with something changed, made once."""
        path = self.base / f"{name}.git"
        if not path.exists():
            making = linked_copy(self.plain, self.base / f"{name}.making.git")
            change(making)
            making.rename(path)
        return path

    def bitmap(self) -> Path:
        """With a bitmap for its one pack."""

        def change(path: Path) -> None:
            git(self.git_path, "repack", "-q", "-a", "-d", "-b", cwd=path)

        return self.variant("bitmap", change)

    def refs(self, count: int) -> Path:
        """The same objects and exactly so many refs."""
        return self.variant(f"refs-{count}", lambda path: with_refs(self.git_path, path, count))

    def packs(self) -> Path:
        """Many packs, and loose objects."""
        return self.variant("packs", lambda path: into_packs(self.git_path, path))

    def head(self) -> tuple[str, str]:
        """The default branch and its tip."""
        branch = git(self.git_path, "symbolic-ref", "HEAD", cwd=self.plain).decode().strip()
        return branch, git(self.git_path, "rev-parse", "HEAD", cwd=self.plain).decode().strip()

    def first_parents(self, count: int) -> list[str]:
        """The default branch's newest commits, the newest first."""
        listed = ("rev-list", "--first-parent", f"--max-count={count}", "HEAD")
        return git(self.git_path, *listed, cwd=self.plain).decode().split()

    def counted(self) -> dict[str, int]:
        """What ``git count-objects -v`` says, and the number of refs."""
        said = git(self.git_path, "count-objects", "-v", cwd=self.plain).decode()
        pairs = [line.split(": ") for line in said.splitlines()]
        found = {name: int(value) for name, value in pairs if value.isdigit()}
        refs = git(self.git_path, "for-each-ref", "--format=x", cwd=self.plain)
        return found | {"refs": len(refs.split())}


@dataclass(frozen=True, slots=True)
class Source:
    """Where repositories come from."""

    path: Path | None = None
    """The user's; otherwise one is generated."""
    keep: bool = False
    """Measure it with its own packs, loose objects and refs, not repacked."""
    kind: str = "history"
    size: int | None = None
    seed: int = 1

    def key(self, git_path: str) -> str:
        """Names the folder: another source, another folder."""
        if self.path is None:
            return f"{self.kind}-{self.size or generate.KINDS[self.kind]}-{self.seed}"
        heads = git(git_path, "for-each-ref", cwd=self.path)
        digest = hashlib.sha256(str(self.path.resolve()).encode() + heads).hexdigest()[:12]
        kept = "-kept" if self.keep else ""
        return f"{self.path.resolve().name.removesuffix('.git')}-{digest}{kept}"


def prepare(git_path: str, work: Path, source: Source) -> Repositories:
    """The copies, or rather the first of them."""
    kept = source.keep or (source.path is None and source.kind in {"packs", "refs"})
    found = Repositories(git_path, work / source.key(git_path), kept)
    if not found.plain.exists():
        found.base.mkdir(parents=True, exist_ok=True)
        making = found.base / "plain.making.git"
        shutil.rmtree(making, ignore_errors=True)
        make(git_path, making, source, kept=kept)
        making.rename(found.plain)
    return found


def make(git_path: str, plain: Path, source: Source, *, kept: bool) -> None:
    """A copy, or a repository made from nothing."""
    if source.path is None:
        generate.generate(git_path, source.kind, plain, source.seed, source.size)
    elif kept:
        folder = source.path if (source.path / "objects").exists() else source.path / ".git"
        shutil.copytree(folder, plain, ignore=shutil.ignore_patterns("*.lock", "hooks"))
        git(git_path, "config", "core.bare", "true", cwd=plain)
    else:
        url = f"file://{source.path.resolve()}"
        git(git_path, "clone", "-q", "--mirror", url, plain, cwd=plain.parent)
        quietly = ("-c", "repack.writeBitmaps=false")
        git(git_path, *quietly, "repack", "-q", "-a", "-d", cwd=plain)
        git(git_path, "pack-refs", "--all", cwd=plain)
    for name, value in SETTINGS.items():
        git(git_path, "config", name, value, cwd=plain)
    # Mapped by every server alike: nobody is to pay for the first reading from the disk.
    for path in (plain / "objects/pack").iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
