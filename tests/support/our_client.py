"""gitserve's own client against every server: git's and ours, over every road.

In: the servers that run. Out: :class:`Place`, which makes a client and says where a repository is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gitserve.client import GitClient
from gitserve.repo import Repo

from tests.support.gits import Git


@dataclass(frozen=True, slots=True)
class Place:
    """A server, as a client sees it."""

    make: Callable[..., GitClient]
    locate: Callable[[Path], str]

    def client(self, **options: object) -> GitClient:
        """A new client."""
        return self.make(**options)


class Walker:
    """The graph walker of dulwich's tutorial: it has nothing."""

    def ack(self, _sha: bytes) -> None:
        """It never comes to this."""

    def next(self) -> None:
        """Nothing."""

    def __next__(self) -> None:
        """Nothing."""


def adopt_refs(git: Git, target: Path, refs: dict[bytes, bytes]) -> None:
    """Makes the target's refs those of the server."""
    updates = [
        b"update %b %b\n" % (name, value)
        for name, value in refs.items()
        if name.startswith(b"refs/")
    ]
    git.run("update-ref", "--stdin", cwd=target, stdin=b"".join(updates))


def empty_target(git: Git, path: Path, object_format: str = "sha1") -> Repo:
    """A bare repository to fetch into."""
    git.run("init", "-q", "--bare", f"--object-format={object_format}", path)
    return Repo(path)


def leftovers(repository: Path) -> list[str]:
    """Quarantines, locks and other traces of a fetch that did not come to its end."""
    return [
        str(path.relative_to(repository))
        for path in repository.rglob("*")
        if path.name.startswith("tmp_") or path.suffix in (".lock", ".keep")
    ]


def files_of(repository: Path) -> dict[str, bytes]:
    """All files but packs' content, to see that nothing has changed."""
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for path in sorted(repository.rglob("*"))
        if path.is_file()
    }
