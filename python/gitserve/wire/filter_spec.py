"""A filter-spec, taken apart as far as a policy has to know it.

In: the text behind ``filter``. Out: its kinds, those inside a ``combine:`` too. What they mean for
an object is the core's business, and so is refusing what is no filter at all.

Git's document: git-rev-list(1), ``--filter``.
"""

from __future__ import annotations

from collections.abc import Callable

from gitserve.record import Record
from gitserve.wire import percent
from gitserve.wire.malformed import Malformed

MAX_PARTS = 64
"""Of all ``combine:`` together; the core has a limit of its own."""

SPARSE = b"sparse:oid="


class FilterPart(Record):
    """One filter."""

    kind: str
    """Its name in ``uploadpackfilter.<name>``: ``blob:none``, ``tree``, ``combine``..."""
    depth: int | None = None
    """Of a ``tree:``."""


def parts(spec: bytes) -> list[FilterPart]:
    """Outermost first. What is not known is left out. Raises :class:`Malformed`."""
    found: list[FilterPart] = []
    waiting = [spec]
    while waiting:
        part = waiting.pop(0)
        if len(found) + len(waiting) > MAX_PARTS:
            raise Malformed("filter-spec is too complex")
        kind, colon, value = part.partition(b":")
        if part.startswith(b"combine:"):
            found.append(FilterPart("combine"))
            waiting[:0] = [percent.decode(inner) for inner in value.split(b"+")]
        elif part == b"blob:none" or part.startswith((b"blob:limit=", b"object:type=")):
            found.append(FilterPart(part.partition(b"=")[0].decode()))
        elif part.startswith(SPARSE):
            found.append(FilterPart("sparse:oid"))
        elif kind == b"tree" and colon:
            found.append(FilterPart("tree", _depth(value)))
    return found


def has_sparse(spec: bytes) -> bool:
    """Does it name a blob of patterns?"""
    return any(part.kind == "sparse:oid" for part in parts(spec))


def with_sparse(spec: bytes, settle: Callable[[bytes], bytes]) -> bytes:
    """The same with other names for its blobs of patterns. ``spec`` has been through
    :func:`parts`, which bounds it."""
    if spec.startswith(b"combine:"):
        inner = [
            percent.encode(with_sparse(percent.decode(part), settle), also_plain=b":=")
            for part in spec[8:].split(b"+")
        ]
        return b"combine:" + b"+".join(inner)
    if spec.startswith(SPARSE):
        return SPARSE + settle(spec[len(SPARSE) :])
    return spec


def _depth(value: bytes) -> int | None:
    digits = value[:-1] if value[-1:].lower() in (b"k", b"m", b"g") else value
    if not digits.isdigit() or len(digits) > 20:
        return None
    shift = {b"k": 10, b"m": 20, b"g": 30}.get(value[-1:].lower(), 0)
    return int(digits) << shift
