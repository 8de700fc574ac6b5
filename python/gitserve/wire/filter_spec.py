"""A filter-spec, taken apart as far as a policy has to know it.

In: the text behind ``filter``. Out: its kinds, those inside a ``combine:`` too. What is no filter
is refused here, before anything is answered; what one means for an object is the core's business.

Git's document: git-rev-list(1), ``--filter``.
"""

from __future__ import annotations

from collections.abc import Callable

from gitserve.record import Record
from gitserve.wire import percent
from gitserve.wire.malformed import Malformed, quoted

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
    """Outermost first. Raises :class:`Malformed` in git's words for what is no filter."""
    found: list[FilterPart] = []
    waiting = [spec]
    while waiting:
        part = waiting.pop(0)
        if len(found) + len(waiting) > MAX_PARTS:
            raise Malformed("filter-spec is too complex")
        kind, colon, value = part.partition(b":")
        if kind == b"combine" and colon:
            if not value:
                raise Malformed("expected something after combine:")
            found.append(FilterPart("combine"))
            waiting[:0] = [percent.decode(inner) for inner in value.split(b"+")]
        else:
            found.append(_simple(part, kind, value))
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


def _simple(part: bytes, kind: bytes, value: bytes) -> FilterPart:
    if part == b"blob:none":
        return FilterPart("blob:none")
    if part.startswith(b"blob:limit=") and _number(value.partition(b"=")[2]) is not None:
        return FilterPart("blob:limit")
    if kind == b"tree" and part[4:5] == b":":
        depth = _number(value)
        if depth is None:
            raise Malformed("expected 'tree:<depth>'")
        return FilterPart("tree", depth)
    if part.startswith(b"object:type="):
        word = value.partition(b"=")[2]
        if word not in (b"commit", b"tree", b"blob", b"tag"):
            text = f"'{quoted(word)}' for 'object:type=<type>' is not a valid object type"
            raise Malformed(text)
        return FilterPart("object:type")
    if part.startswith(SPARSE):
        return FilterPart("sparse:oid")
    if part.startswith(b"sparse:path="):
        raise Malformed("sparse:path filters support has been dropped")
    raise Malformed(f"invalid filter-spec '{quoted(part)}'")


def _number(text: bytes) -> int | None:
    """With git's suffixes; None for what is no number, or too large a one."""
    digits = text[:-1] if text[-1:].lower() in (b"k", b"m", b"g") else text
    if not digits.isdigit() or len(digits) > 20:
        return None
    number = int(digits) << {b"k": 10, b"m": 20, b"g": 30}.get(text[-1:].lower(), 0)
    return number if number < 1 << 64 else None
