"""What is in a pack: a reader that shares nothing with the code under test.

In: a pack's bytes, and a way to get a base that is not in it. Out: the objects. Written after
Git's document ``gitformat-pack``; slow and plain.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, field

from tests.support.world import World

NAMES = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
OFS_DELTA = 6
REF_DELTA = 7


@dataclass(slots=True)
class ReadPack:
    """A pack, read."""

    ids: set[str] = field(default_factory=set)
    count: int = 0
    """Entries, to be as many as there are ids."""
    outside: set[str] = field(default_factory=set)
    """Bases that are not in it."""
    offset_deltas: int = 0


def read_pack(data: bytes, world: World) -> ReadPack:
    """Raises AssertionError for whatever is wrong with it."""
    raw = 20 if world.object_format == "sha1" else 32
    assert data[:8] == b"PACK\0\0\0\2", data[:64]
    assert hashlib.new(world.object_format, data[:-raw]).digest() == data[-raw:]
    pack = ReadPack(count=int.from_bytes(data[8:12], "big"))
    by_offset: dict[int, tuple[str, bytes]] = {}
    by_id: dict[str, tuple[str, bytes]] = {}
    waiting: list[tuple[int, int | str, bytes]] = []
    at = 12

    def keep(offset: int, kind: str, content: bytes) -> None:
        one = world.name_of(kind, content)
        by_offset[offset] = by_id[one] = (kind, content)
        pack.ids.add(one)

    for _ in range(pack.count):
        begin = at
        byte = data[at]
        at += 1
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        base: int | str = ""
        if kind == OFS_DELTA:
            byte = data[at]
            at += 1
            back = byte & 0x7F
            while byte & 0x80:
                byte = data[at]
                at += 1
                back = (back + 1) << 7 | byte & 0x7F
            base = begin - back
            pack.offset_deltas += 1
        elif kind == REF_DELTA:
            base = data[at : at + raw].hex()
            at += raw
        inflate = zlib.decompressobj()
        content = inflate.decompress(data[at:])
        assert inflate.eof
        assert len(content) == size
        at = len(data) - len(inflate.unused_data)
        if kind in NAMES:
            keep(begin, NAMES[kind], content)
        else:
            waiting.append((begin, base, content))
    assert at == len(data) - raw, "bytes between the last entry and the trailer"
    while waiting:
        left = []
        for begin, base, delta in waiting:
            found = by_offset.get(base) if isinstance(base, int) else by_id.get(base)
            if found is None:
                left.append((begin, base, delta))
            else:
                keep(begin, found[0], apply_delta(found[1], delta))
        if len(left) == len(waiting):
            # nothing in the pack helps any more: a thin pack's base is the client's
            outside = [base for _, base, _ in left if isinstance(base, str)]
            assert outside, "a delta chain that ends nowhere"
            for base in outside:
                if base not in by_id:
                    thing = world.things[base]
                    by_id[base] = (thing.kind, thing.content)
                    pack.outside.add(base)
        waiting = left
    assert len(pack.ids) == pack.count, "an object twice"
    return pack


def apply_delta(base: bytes, delta: bytes) -> bytes:
    """gitformat-pack, "Deltified representation"."""
    at = 0

    def size() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = delta[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    assert size() == len(base)
    expected = size()
    out = bytearray()
    while at < len(delta):
        byte = delta[at]
        at += 1
        if byte & 0x80:
            numbers = []
            for bits in (0x01, 0x02, 0x04, 0x08), (0x10, 0x20, 0x40):
                value = 0
                for place, bit in enumerate(bits):
                    if byte & bit:
                        value |= delta[at] << (8 * place)
                        at += 1
                numbers.append(value)
            offset, length = numbers[0], numbers[1] or 0x10000
            assert offset + length <= len(base)
            out += base[offset : offset + length]
        else:
            assert byte
            out += delta[at : at + byte]
            at += byte
    assert len(out) == expected
    return bytes(out)
