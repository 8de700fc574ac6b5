"""Servers that exist as bytes only: recorded answers, and what is made of them.

In: bytes. Out: clients whose road reads these, cut anywhere. What the client sends is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gitserve.client import ClientLimits, GitClient, LocalGitClient
from gitserve.clients.road import Road


class ScriptedRoad:
    """Reads what it was given, whatever is asked."""

    stateless = False

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self.sent = b""
        self.closed = False

    def read(self, size: int, /) -> bytes:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._held = piece
        data, self._held = self._held[:size], self._held[size:]
        return data

    def write(self, data: bytes, /) -> None:
        self.sent += data

    def write_all(self, pieces: Iterable[bytes], /) -> None:
        for piece in pieces:
            self.sent += piece

    def end_request(self) -> None:
        """Nothing waits for it."""

    def explain(self) -> bytes:
        return b""

    def close(self) -> None:
        self.closed = True


class ScriptedClient(GitClient):
    """A client of a server that says always the same."""

    def __init__(
        self, answer: bytes | Callable[[], Iterator[bytes]], limits: ClientLimits | None = None
    ) -> None:
        super().__init__(limits=limits)
        self._answer = answer
        self.roads: list[ScriptedRoad] = []

    def _open(self, service: bytes, path: str, version: int) -> Road:  # noqa: ARG002
        pieces = [self._answer] if isinstance(self._answer, bytes) else self._answer()
        self.roads.append(ScriptedRoad(pieces))
        return self.roads[-1]


class _RecordingRoad:
    def __init__(self, road: Road, into: bytearray) -> None:
        self._road = road
        self._into = into

    def __getattr__(self, name: str) -> object:
        return getattr(self._road, name)

    def read(self, size: int, /) -> bytes:
        data = self._road.read(size)
        self._into += data
        return data


class RecordingClient(LocalGitClient):
    """Our own server; everything it says is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = bytearray()

    def _open(self, service: bytes, path: str, version: int) -> Road:
        return _RecordingRoad(super()._open(service, path, version), self.heard)
