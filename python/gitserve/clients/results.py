"""What the client's methods return, with dulwich's names.

Each is a mapping of the refs as well, because that is what these methods returned before there was
more to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


class _Refs(Mapping[bytes, bytes]):
    """A value that is a mapping of its ``refs``."""

    __slots__ = ()

    refs: dict[bytes, bytes]

    def __getitem__(self, name: bytes) -> bytes:
        return self.refs[name]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.refs)

    def __len__(self) -> int:
        return len(self.refs)

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, eq=False)
class FetchPackResult(_Refs):
    """A fetch."""

    refs: dict[bytes, bytes]
    """All refs of the server that begin with a wanted prefix, ``HEAD`` included; no ``^{}``."""
    symrefs: dict[bytes, bytes]
    agent: bytes | None
    new_shallow: frozenset[bytes] | None = None
    """Commits that came without their parents; ``None``: the boundary was no subject."""
    new_unshallow: frozenset[bytes] | None = None
    object_format: str | None = None
    objects: int = 0
    """How many came; counted only by :meth:`~gitserve.client.GitClient.fetch`."""


@dataclass(frozen=True, slots=True, eq=False)
class LsRemoteResult(_Refs):
    """The refs of a server."""

    refs: dict[bytes, bytes]
    """Name to id; what a tag leads to stands behind its name and ``^{}``."""
    symrefs: dict[bytes, bytes]
    object_format: str | None = None
    agent: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SendPackResult(_Refs):
    """A push that the server has taken, perhaps without some of its refs."""

    refs: dict[bytes, bytes]
    """What was asked for."""
    agent: bytes | None = None
    ref_status: dict[bytes, str | None] | None = field(default=None)
    """``None``: the server does not report. Else, of each ref, why it was not moved, or ``None``
    when it was."""
