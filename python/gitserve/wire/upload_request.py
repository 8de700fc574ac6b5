"""What a client of v0 or v1 wants: its first message to upload-pack.

In: the lines up to the flush. Out: :class:`UploadRequest`. It must not know which objects exist nor
which capabilities were offered.

Git's document: gitprotocol-pack, "Packfile Negotiation" (upload-request).
"""

from __future__ import annotations

from collections.abc import Mapping

from gitserve.record import EMPTY, Record
from gitserve.wire.capabilities import format_capabilities, parse_capabilities
from gitserve.wire.deepening import Deepening, DeepenLines, format_lines
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import is_object_id
from gitserve.wire.pktline import FLUSH_PKT, chomp, encode


class UploadRequest(Record):
    """Wants, with no want the client has changed its mind."""

    wants: tuple[bytes, ...] = ()
    """In the client's order, each once."""
    capabilities: Mapping[bytes, bytes | None] = EMPTY
    shallow: tuple[bytes, ...] = ()
    """Commits whose parents the client lacks."""
    deepening: Deepening = Deepening()
    filter_spec: bytes | None = None


def parse(lines: list[bytes], hex_length: int) -> UploadRequest:
    """Raises :class:`Malformed`."""
    wants: list[bytes] = []
    shallow: list[bytes] = []
    capabilities: dict[bytes, bytes | None] = {}
    deepen = DeepenLines()
    filter_spec: bytes | None = None
    end_of_id = 5 + hex_length
    for raw in lines:
        line = chomp(raw)
        if line[:5] == b"want ":
            object_id = line[5:end_of_id]
            if not is_object_id(object_id, hex_length) or line[end_of_id : end_of_id + 1].strip():
                raise Malformed(
                    f"git upload-pack: protocol error, expected to get object ID, "
                    f"not '{quoted(line)}'"
                )
            wants.append(object_id.lower())
            if len(line) > end_of_id:
                # Only the first want should have them, but git reads them off any.
                for name, value in parse_capabilities(line[end_of_id:]).items():
                    capabilities.setdefault(name, value)
        elif line[:8] == b"shallow ":
            if not is_object_id(line[8:], hex_length):
                raise Malformed(f"invalid shallow line: {quoted(line)}")
            shallow.append(line[8:].lower())
        elif line[:7] == b"filter ":
            if filter_spec is not None:
                raise Malformed("multiple filter-specs cannot be combined")
            filter_spec = line[7:]
        elif not deepen.take(line):
            raise Malformed(
                f"git upload-pack: protocol error, expected to get object ID, not '{quoted(line)}'"
            )
    return UploadRequest(
        tuple(dict.fromkeys(wants)),
        capabilities,
        tuple(dict.fromkeys(shallow)),
        deepen.value(relative=b"deepen-relative" in capabilities),
        filter_spec,
    )


def format(request: UploadRequest) -> bytes:
    """The pkt-lines, flush included."""
    packets: list[bytes] = []
    listed = format_capabilities(request.capabilities.items())
    for want in request.wants:
        packets.append(encode(b"want %b%b\n" % (want, b" " + listed if listed else b"")))
        listed = b""
    packets += [encode(b"shallow %b\n" % commit_id) for commit_id in request.shallow]
    packets += [encode(line + b"\n") for line in format_lines(request.deepening)]
    if request.filter_spec is not None:
        packets.append(encode(b"filter %b\n" % request.filter_spec))
    packets.append(FLUSH_PKT)
    return b"".join(packets)
