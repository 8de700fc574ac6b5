"""How a client bounds the history it wants: the deepen lines of v0, v1 and v2 alike.

In: one line at a time. Out: :class:`Deepening`. It must not know commits.

Git's document: gitprotocol-pack, "Packfile Negotiation" (depth-request); gitprotocol-v2, "fetch".
"""

from __future__ import annotations

from gitserve.record import TYPE_CHECKING, Record
from gitserve.wire.malformed import Malformed, quoted

if TYPE_CHECKING:
    from typing import Final

INFINITE_DEPTH: Final = 0x7FFFFFFF
"""What ``--unshallow`` asks for; anything deeper means the same."""

_DIGITS_MAX: Final = 20
"""Digits of a number that are read: a 64-bit time has no more."""


class Deepening(Record):
    """Nothing of it set: the client takes the history as it is."""

    depth: int = 0
    since: int | None = None
    """Seconds since 1970."""
    exclude: tuple[bytes, ...] = ()
    """Ref names."""
    relative: bool = False
    """``depth`` counts from the client's present boundary."""

    @property
    def wanted(self) -> bool:
        """Does the client expect shallow lines?"""
        return bool(self.depth or self.since is not None or self.exclude)


class DeepenLines:
    """Collects the deepen lines among the others of a request."""

    __slots__ = ("_depth", "_exclude", "_since")

    def __init__(self) -> None:
        self._depth = 0
        self._since: int | None = None
        self._exclude: list[bytes] = []

    def take(self, line: bytes) -> bool:
        """Is this chomped line one? Raises :class:`Malformed` when it is a wrong one."""
        word, _, value = line.partition(b" ")
        if word == b"deepen":
            number = _number(value)
            if not number:
                raise Malformed(f"Invalid deepen: {quoted(line)}")
            self._depth = min(number, INFINITE_DEPTH)
        elif word == b"deepen-since":
            number = _number(value)
            if not number:
                raise Malformed(f"Invalid deepen-since: {quoted(line)}")
            self._since = number
        elif word == b"deepen-not":
            if not value:
                raise Malformed(f"Invalid deepen-not: {quoted(line)}")
            self._exclude.append(value)
        else:
            return False
        return True

    def value(self, *, relative: bool) -> Deepening:
        """What they say together. Raises :class:`Malformed` when they contradict."""
        if self._depth and (self._since is not None or self._exclude):
            raise Malformed("deepen and deepen-since (or deepen-not) cannot be used together")
        return Deepening(self._depth, self._since, tuple(self._exclude), relative)


def format_lines(deepening: Deepening) -> list[bytes]:
    """The lines, without line feeds; ``relative`` is said elsewhere in each version."""
    lines: list[bytes] = []
    if deepening.depth:
        lines.append(b"deepen %d" % deepening.depth)
    if deepening.since is not None:
        lines.append(b"deepen-since %d" % deepening.since)
    lines += [b"deepen-not " + ref for ref in deepening.exclude]
    return lines


def _number(value: bytes) -> int | None:
    return int(value) if len(value) <= _DIGITS_MAX and value.isdigit() else None
