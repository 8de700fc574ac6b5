"""The ends of lines: LF in the repository, CRLF where a path or the configuration asks for it.

In: attributes, configuration, contents in pieces. Out: contents. Git's documents: gitattributes(5),
"text" and "eol"; git-config(1), ``core.autocrlf`` and ``core.eol``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gitserve.record import TYPE_CHECKING, Record
from gitserve.repository.config import Config

if TYPE_CHECKING:
    from typing import Final

    from gitserve.archiving.attributes import Value

_UNPRINTABLE: Final = bytes(set(range(32)) - set(b"\b\t\n\f\r\x1b") | {127})
_END_OF_FILE: Final = b"\x1a"


class Endings(Record):
    """Lines end in CRLF."""

    only_text: bool
    """Only in what looks like text, and mixes no ends."""


def endings(values: Mapping[bytes, Value], config: Config) -> Endings | None:
    """None: contents stay as they are."""
    text = _known(values.get(b"text"))
    if text is None:
        text = _known(values.get(b"crlf"))  # as it was once called
    if text is False:
        return None
    eol = values.get(b"eol")
    if eol in (b"lf", b"crlf"):
        return Endings(text == b"auto") if eol == b"crlf" else None
    auto = _autocrlf(config)
    if text is None:
        return Endings(True) if auto == "true" else None
    if text == b"input":
        return None
    native = (config.get("core.eol") or "").lower() == "crlf" if auto == "false" else auto == "true"
    return Endings(text == b"auto") if native else None


def _known(value: Value) -> Value:
    return value if isinstance(value, bool) or value in (b"input", b"auto") else None


def _autocrlf(config: Config) -> str:
    if (config.get("core.autocrlf") or "").lower() == "input":
        return "input"
    return "true" if config.get_bool("core.autocrlf") else "false"


class Census(Record):
    """What a content is made of."""

    crlf: int
    lone_cr: int
    lone_lf: int
    zeros: int
    printable: int
    unprintable: int

    def changes(self, how: Endings) -> bool:
        """Is there anything to do?"""
        if not self.lone_lf:
            return False
        if not how.only_text:
            return True
        return not (
            self.crlf or self.lone_cr or self.zeros or self.printable >> 7 < self.unprintable
        )


def census(pieces: Iterable[bytes]) -> Census:
    """Of all of it."""
    size = crlf = cr = lf = zeros = unprintable = 0
    last = b""
    for piece in pieces:
        size += len(piece)
        crlf += piece.count(b"\r\n") + (last == b"\r" and piece[:1] == b"\n")
        cr += piece.count(b"\r")
        lf += piece.count(b"\n")
        zeros += piece.count(b"\0")
        unprintable += len(piece) - len(piece.translate(None, _UNPRINTABLE))
        last = piece[-1:] or last
    printable = size - cr - lf - unprintable
    return Census(
        crlf, cr - crlf, lf - crlf, zeros, printable, unprintable - (last == _END_OF_FILE)
    )


def with_crlf(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Each LF that stands alone becomes two bytes."""
    last = b""
    for piece in pieces:
        begin = int(last == b"\r" and piece[:1] == b"\n")
        made = piece[begin:].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        yield piece[:begin] + made
        last = piece[-1:] or last
