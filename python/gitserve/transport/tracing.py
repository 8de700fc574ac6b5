"""What ``GIT_TRACE_PACKET`` and ``GIT_TRACE2_EVENT`` ask for.

In: the environment; a request's packets and what was kept of it in the tally. Out: lines in a file
or on standard error, in the forms of git(1) and api-trace2. Only the stdio services are traced:
they run for one client, in that client's own environment. A trace that cannot be written stops
nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress

from gitserve import __version__
from gitserve.errors import GitServeError
from gitserve.record import TYPE_CHECKING
from gitserve.service.streams import ByteSource
from gitserve.transport.pipes import PipeStream
from gitserve.wire.pktline import NEED_MORE, Marker, PktDecoder, chomp

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable

_OFF = frozenset(("", "0", "false", "no", "off"))
_TO_STDERR = frozenset(("1", "2", "true", "yes", "on"))

_BANDS = (b"\x01", b"\x02", b"\x03")


def wanted(environ: Mapping[str, str]) -> bool:
    """Does anybody want to know anything?"""
    names = ("GIT_TRACE_PACKET", "GIT_TRACE2_EVENT")
    return any(environ.get(name, "").lower() not in _OFF for name in names)


class Target:
    """Where lines of one kind go."""

    __slots__ = ("_descriptor",)

    def __init__(self, value: str) -> None:
        """A variable's value: a file by its absolute path, a descriptor's number, or a truth."""
        self._descriptor: int | None = None
        if value.lower() in _TO_STDERR:
            self._descriptor = 2
        elif value.isdigit() and len(value) == 1:
            self._descriptor = int(value) or None
        elif value.startswith("/"):
            with suppress(OSError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(value, flags, 0o666)

    @property
    def open(self) -> bool:
        """Is there anywhere to write?"""
        return self._descriptor is not None

    def write(self, line: bytes) -> None:
        """One line, in one piece."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.write(self._descriptor, line + b"\n")


class TracedStream:
    """A client's bytes, with each packet written down as it passes."""

    __slots__ = ("_name", "_seen", "_sink", "_source", "_stamped", "_target")

    def __init__(
        self,
        source: ByteSource,
        sink: PipeStream,
        service: str,
        target: Target,
        environ: Mapping[str, str],
    ) -> None:
        self._source = source
        self._sink = sink
        self._name = service.rjust(12).encode()
        self._target = target
        self._stamped = environ.get("GIT_TRACE_BARE", "").lower() in _OFF
        self._seen: dict[bytes, PktDecoder | None] = {b"<": PktDecoder(), b">": PktDecoder()}

    def read(self, size: int, /) -> bytes:
        """See :class:`~gitserve.service.streams.ByteSource`."""
        data = self._source.read(size)
        self._follow(b"<", data)
        return data

    def write(self, data: Sendable, /) -> None:
        """See :class:`~gitserve.service.streams.ByteSink`."""
        self._follow(b">", bytes(data))
        self._sink.write(data)

    def fileno(self) -> int:
        """The descriptor that is written to."""
        return self._sink.fileno()

    def _follow(self, direction: bytes, data: bytes) -> None:
        decoder = self._seen[direction]
        if decoder is None:
            return
        decoder.feed(data)
        try:
            while (packet := decoder.next()) is not NEED_MORE:
                if isinstance(packet, Marker):
                    self._line(direction, packet.value)
                elif packet[:1] not in _BANDS:
                    self._line(direction, _shown(chomp(packet)))
        except GitServeError:
            # a pack without bands: nothing behind it is a packet
            self._seen[direction] = None

    def _line(self, direction: bytes, text: bytes) -> None:
        now = time.time()
        stamp = b""
        if self._stamped:
            clock = time.strftime("%H:%M:%S", time.localtime(now))
            stamp = f"{clock}.{int(now % 1 * 1_000_000):06d} gitserve                ".encode()
        self._target.write(b"%bpacket: %b%b %b" % (stamp, self._name, direction, text))


def _shown(payload: bytes) -> bytes:
    if payload[:4] == b"PACK":
        return b"PACK ..."
    return payload.replace(b"\0", b"\\0").replace(b"\n", b"\\n")


class Events:
    """The trace2 events of one request."""

    __slots__ = ("_begun", "_sid", "_target")

    def __init__(self, environ: Mapping[str, str], words: list[str]) -> None:
        self._target = Target(environ.get("GIT_TRACE2_EVENT", ""))
        self._begun = time.monotonic()
        now = time.time()
        made = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        own = f"{made}.{int(now % 1 * 1_000_000):06d}Z-P{os.getpid():08x}"
        parent = environ.get("GIT_TRACE2_PARENT_SID", "")
        self._sid = f"{parent}/{own}" if parent else own
        self._write("version", evt="4", exe=f"gitserve/{__version__}")
        self._write("start", t_abs=self._elapsed(), argv=["gitserve", *words])

    def data(self, category: str, key: str, value: object) -> None:
        """Something worth knowing; text and numbers by themselves, all else as JSON."""
        plain = isinstance(value, (str, int))
        self._write(
            "data" if plain else "data_json",
            t_abs=self._elapsed(),
            t_rel=self._elapsed(),
            nesting=1,
            category=category,
            key=key,
            value=str(value) if plain else value,
        )

    def end(self, status: int, error: str = "") -> None:
        """The last ones."""
        if error:
            self._write("error", msg=error, fmt=error)
        self._write("exit", t_abs=self._elapsed(), code=status)
        self._write("atexit", t_abs=self._elapsed(), code=status)

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._begun, 6)

    def _write(self, event: str, **fields: object) -> None:
        if not self._target.open:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        line = {
            "event": event,
            "sid": self._sid,
            "thread": "main",
            "time": f"{stamp}.{int(now % 1 * 1_000_000):06d}Z",
            **fields,
        }
        self._target.write(json.dumps(line, separators=(",", ":")).encode())


CATEGORIES: Mapping[str, str] = {"fetch-info": "upload-pack"}
"""Of what the tally has kept; ``transfer`` for the rest."""
