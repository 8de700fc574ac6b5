"""What a fetch is to bring, and what came of it besides the pack.

In: nothing. Out: values that both versions' dialogues understand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gitserve.wire.deepening import Deepening
from gitserve.wire.shallow_info import ShallowInfo


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """One fetch. Ids are hexadecimal digits."""

    wants: tuple[bytes, ...]
    shallow: tuple[bytes, ...] = ()
    """Commits whose parents the client lacks."""
    deepening: Deepening = field(default_factory=Deepening)
    filter_spec: bytes | None = None
    """Sent only to a server that knows filters."""
    thin: bool = True
    include_tag: bool = False
    progress: bool = True
    agent: bytes = b"gitserve"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the server said beside the pack."""

    shallow_info: ShallowInfo | None = None
    """``None``: the boundary stays as it was."""
    filtered: bool = False
    """The server was asked to leave objects out."""
