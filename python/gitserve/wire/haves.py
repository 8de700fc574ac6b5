"""What a client of v0 or v1 says it has, piece by piece, and that it is done.

In: lines as they arrive, any number at a time. Out: :class:`Haves`. It must not know which of them
exist here.

Git's document: gitprotocol-pack, "Packfile Negotiation" (upload-haves).
"""

from __future__ import annotations

from gitserve.record import Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import all_object_ids, is_object_id, lower_case
from gitserve.wire.pktline import chomp, encode


class Haves(Record):
    """Some of what the client has."""

    ids: list[bytes]
    """In the client's order; the same one may be here twice."""
    done: bool
    """The client has said all it will; lines behind that are not read."""


def parse(lines: list[bytes], hex_length: int) -> Haves:
    """Raises :class:`Malformed`."""
    end_of_id = 5 + hex_length
    ids: list[bytes] = []
    done = False
    for line in lines:
        if line[:5] == b"have " and line[end_of_id:] in (b"\n", b""):
            ids.append(line[5:end_of_id])
        elif chomp(line) == b"done":
            done = True
            break
        elif line[:5] == b"have ":
            raise _not_an_id(line[5:])
        else:
            raise Malformed(f"git upload-pack: expected SHA1 list, got '{quoted(line)}'")
    if not all_object_ids(ids, hex_length):
        raise _not_an_id(next(i for i in ids if not is_object_id(i, hex_length)))
    return Haves(lower_case(ids), done)


def parse_as_far(lines: list[bytes], hex_length: int) -> tuple[Haves, Malformed | None]:
    """As :func:`parse`, up to the first line that is wrong, and what is wrong with that: what comes
    of those before it must not depend on how the stream was cut."""
    try:
        return parse(lines, hex_length), None
    except Malformed as error:
        fault = error
    for count, line in enumerate(lines):
        try:
            parse([line], hex_length)
        except Malformed as error:
            return parse(lines[:count], hex_length), error
    return Haves([], False), fault


def format(haves: Haves) -> bytes:
    """The pkt-lines; no flush, because the client decides where those go."""
    packets = [encode(b"have %b\n" % object_id) for object_id in haves.ids]
    if haves.done:
        packets.append(encode(b"done\n"))
    return b"".join(packets)


def _not_an_id(text: bytes) -> Malformed:
    return Malformed(f"git upload-pack: expected SHA1 object, got '{quoted(text)}'")
