"""Which part of a file a client wants: for downloads that go on where they broke off.

In: ``Range`` and ``If-Range``, the file's size, tag and time. Out: first and last byte, or None for
all of it. One range; who asks for several, or in words that we do not know, gets the whole.

RFC 9110, sections 13.1.5 and 14.
"""

from __future__ import annotations

import re

from gitserve.record import Record

_ONE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*\Z", re.ASCII | re.IGNORECASE)


class Span(Record):
    """A part of a file."""

    start: int
    end: int
    """Behind its last byte."""


class Unsatisfiable(Exception):
    """There is no such part."""


def wanted(asked: str, condition: str, *, size: int, tag: str, modified: str) -> Span | None:
    """``asked``: Range; ``condition``: If-Range. Raises :class:`Unsatisfiable`."""
    match = _ONE.match(asked)
    if match is None or (condition and condition not in (tag, modified)):
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None  # no range at all
    if start >= end:
        raise Unsatisfiable
    return Span(start, end)
