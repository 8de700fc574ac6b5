"""The arguments and the answer of v2's object-info.

In: the lines behind the delimiter; sizes. Out: :class:`ObjectInfoRequest`; the answer's payloads.
It must not know which objects exist.

Git's document: gitprotocol-v2, "object-info".
"""

from __future__ import annotations

from collections.abc import Iterable

from gitserve.record import Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import is_object_id
from gitserve.wire.pktline import chomp


class ObjectInfoRequest(Record):
    """Of which objects, and what of them."""

    ids: tuple[bytes, ...] = ()
    """As often as they were sent: each gets a line."""
    size: bool = False


def parse(lines: list[bytes], hex_length: int) -> ObjectInfoRequest:
    """Raises :class:`Malformed`."""
    ids: list[bytes] = []
    size = False
    for raw in lines:
        line = chomp(raw)
        if line == b"size":
            size = True
        elif line[:4] == b"oid " and is_object_id(line[4:], hex_length):
            ids.append(line[4:].lower())
        elif line[:4] == b"oid ":
            raise Malformed(
                f"object-info: protocol error, expected to get oid, not '{quoted(line)}'"
            )
        else:
            raise Malformed(f"object-info: unexpected line: '{quoted(line)}'")
    return ObjectInfoRequest(tuple(ids), size)


def format_lines(request: ObjectInfoRequest, sizes: Iterable[int | None]) -> list[bytes]:
    """The payloads; an object that is not there has a line without a size.

    Asked of no object git answers nothing, not even which attributes would follow.
    """
    if not request.ids:
        return []
    if not request.size:
        return list(request.ids)
    lines = [b"size"]
    for object_id, size in zip(request.ids, sizes, strict=True):
        lines.append(object_id + (b" " if size is None else b" %d" % size))
    return lines
