"""``filter.<driver>.process``: one program that smudges all the files of an archive.

In: the running program, contents. Out: what it makes of them. It may say nothing, or nonsense, or
end at any moment: then files stay as they are. Git's document: gitattributes(5), "Long Running
Filter Process". Must not know which files are its.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from gitserve.archiving.entry import Content
from gitserve.service.coprocess import Coprocess
from gitserve.service.process import ProgramTimeout
from gitserve.wire.filter_process import (
    ABORT,
    FAILURE,
    OFFER,
    SUCCESS,
    WELCOME,
    can_smudge,
    check_welcome,
    format_smudge,
    parse_status,
)
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import (
    FLUSH,
    FLUSH_PKT,
    MAX_PAYLOAD,
    Marker,
    NeedMore,
    PktDecoder,
    encode,
)

MOST_LINES = 1000
"""Of a section that is no content."""


class FilterBroken(Exception):
    """It does not speak as it should, or not any more."""


class FilterEnded(FilterBroken):
    """It has gone."""


class FilterProcess:
    """One of them. To be closed."""

    def __init__(self, program: Coprocess, keep: Callable[[Iterable[bytes]], Content]) -> None:
        """Greets it. ``keep``: makes a content of pieces. Raises :class:`FilterBroken`."""
        self._program = program
        self._keep = keep
        self._decoder = PktDecoder()
        try:
            self._write(WELCOME)
            check_welcome(self._section())
            self._write(OFFER)
            self._smudges = can_smudge(self._section())
        except (Malformed, ProgramTimeout) as error:
            raise FilterBroken(str(error)) from error

    def smudge(
        self, path: bytes, about: Sequence[bytes], object_id: bytes, pieces: Iterable[bytes]
    ) -> Content | None:
        """What it makes of a file; None where it does not. Raises :class:`FilterBroken`."""
        if not self._smudges:
            return None
        try:
            self._write(format_smudge(path, about, object_id))
            for piece in pieces:
                for start in range(0, len(piece), MAX_PAYLOAD):
                    self._write(encode(piece[start : start + MAX_PAYLOAD]))
            self._write(FLUSH_PKT)
            status = parse_status(self._section())
            content = None
            if status == SUCCESS:
                content = self._keep(self._content())
                status = parse_status(self._section()) or SUCCESS
        except (Malformed, ProgramTimeout, ValueError) as error:
            raise FilterBroken(str(error)) from error
        if status == SUCCESS:
            return content
        if status == ABORT:
            self._smudges = False  # it wants no more of them
        elif status != FAILURE:
            raise FilterBroken("no status")
        return None

    def close(self) -> None:
        """Lets it end; makes it end."""
        self._program.dismiss()

    def _write(self, data: bytes) -> None:
        if not self._program.write(data):
            raise FilterEnded("it reads no more")

    def _section(self) -> list[bytes]:
        lines: list[bytes] = []
        for line in self._content():
            lines.append(line)
            if len(lines) > MOST_LINES:
                raise FilterBroken("it says too much")
        return lines

    def _content(self) -> Iterator[bytes]:
        """The packets up to the next flush."""
        while (packet := self._decoder.next()) is not FLUSH:
            if isinstance(packet, NeedMore):
                data = self._program.piece()
                if not data:
                    raise FilterEnded("it has ended")
                self._decoder.feed(data)
            elif isinstance(packet, Marker):
                raise FilterBroken("a packet that is none")
            else:
                yield packet
