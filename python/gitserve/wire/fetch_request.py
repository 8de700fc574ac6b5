"""The arguments of v2's fetch.

In: the lines behind the delimiter. Out: :class:`FetchRequest`. It must not know which objects
exist; which optional arguments were offered it is told.

Git's document: gitprotocol-v2, "fetch".
"""

from __future__ import annotations

from gitserve.record import Record
from gitserve.wire.deepening import Deepening, DeepenLines, format_lines
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import all_object_ids, is_object_id, lower_case
from gitserve.wire.pktline import chomp


class FetchRequest(Record):
    """One round: v2 keeps nothing from the round before."""

    wants: tuple[bytes, ...] = ()
    haves: tuple[bytes, ...] = ()
    """In the client's order, each once."""
    done: bool = False
    thin_pack: bool = False
    no_progress: bool = False
    include_tag: bool = False
    ofs_delta: bool = False
    wait_for_done: bool = False
    sideband_all: bool = False
    shallow: tuple[bytes, ...] = ()
    deepening: Deepening = Deepening()
    filter_spec: bytes | None = None
    want_refs: tuple[bytes, ...] = ()
    """Full names of refs whose values are wanted."""
    packfile_uris: tuple[bytes, ...] | None = None
    """Protocols over which the client takes packs from elsewhere; None when it did not say."""


_FLAGS = {
    b"done": "done",
    b"thin-pack": "thin_pack",
    b"no-progress": "no_progress",
    b"include-tag": "include_tag",
    b"ofs-delta": "ofs_delta",
    b"wait-for-done": "wait_for_done",
    b"deepen-relative": "deepen_relative",
    b"sideband-all": "sideband_all",
}


def parse(
    lines: list[bytes],
    hex_length: int,
    *,
    allow_filter: bool = True,
    allow_sideband_all: bool = True,
    allow_ref_in_want: bool = True,
    allow_packfile_uris: bool = True,
) -> FetchRequest:
    """Raises :class:`Malformed`, also for an argument that is not allowed."""
    wants: list[bytes] = []
    haves: list[bytes] = []
    shallow: list[bytes] = []
    flags: set[bytes] = set()
    deepen = DeepenLines()
    filter_spec: bytes | None = None
    want_refs: dict[bytes, None] = {}
    packfile_uris: tuple[bytes, ...] | None = None
    end_of_id = 5 + hex_length
    for raw in lines:
        # Most lines by far are these two, so they are cut without looking for the line feed.
        head = raw[:5]
        if head == b"have ":
            haves.append(raw[5:end_of_id] if raw[end_of_id:] == b"\n" else raw[5:])
            continue
        if head == b"want ":
            wants.append(raw[5:end_of_id] if raw[end_of_id:] == b"\n" else raw[5:])
            continue
        line = chomp(raw)
        if line in _FLAGS:
            if line == b"sideband-all" and not allow_sideband_all:
                raise _unexpected(line)
            flags.add(line)
        elif line[:8] == b"shallow ":
            shallow.append(line[8:])
        elif line[:7] == b"filter " and allow_filter:
            if filter_spec is not None:
                raise Malformed("multiple filter-specs cannot be combined")
            filter_spec = line[7:]
        elif line[:9] == b"want-ref " and allow_ref_in_want:
            if line[9:] in want_refs:
                raise Malformed(f"duplicate want-ref {quoted(line[9:])}")
            want_refs[line[9:]] = None
        elif line[:14] == b"packfile-uris " and allow_packfile_uris:
            packfile_uris = tuple(line[14:].split(b","))
        elif not deepen.take(line):
            raise _unexpected(line)
    if not all_object_ids(wants, hex_length):
        wrong = quoted(_first_wrong(wants, hex_length))
        raise Malformed(f"git upload-pack: protocol error, expected to get oid, not 'want {wrong}'")
    if not all_object_ids(haves, hex_length):
        wrong = quoted(_first_wrong(haves, hex_length))
        raise Malformed(f"git upload-pack: expected SHA1 object, got '{wrong}'")
    if not all_object_ids(shallow, hex_length):
        wrong = quoted(_first_wrong(shallow, hex_length))
        raise Malformed(f"invalid shallow line: shallow {wrong}")
    return FetchRequest(
        tuple(dict.fromkeys(lower_case(wants))),
        tuple(dict.fromkeys(lower_case(haves))),
        done=b"done" in flags,
        thin_pack=b"thin-pack" in flags,
        no_progress=b"no-progress" in flags,
        include_tag=b"include-tag" in flags,
        ofs_delta=b"ofs-delta" in flags,
        wait_for_done=b"wait-for-done" in flags,
        sideband_all=b"sideband-all" in flags,
        shallow=tuple(dict.fromkeys(lower_case(shallow))),
        deepening=deepen.value(relative=b"deepen-relative" in flags),
        filter_spec=filter_spec,
        want_refs=tuple(want_refs),
        packfile_uris=packfile_uris,
    )


def format_arguments(request: FetchRequest) -> list[bytes]:
    """The lines, without line feeds."""
    lines: list[bytes] = []
    for word, name in _FLAGS.items():
        if name == "deepen_relative":
            wanted = request.deepening.relative
        else:
            wanted = name != "done" and getattr(request, name)
        if wanted:
            lines.append(word)
    lines += [b"shallow " + commit_id for commit_id in request.shallow]
    lines += format_lines(request.deepening)
    if request.filter_spec is not None:
        lines.append(b"filter " + request.filter_spec)
    lines += [b"want-ref " + name for name in request.want_refs]
    if request.packfile_uris is not None:
        lines.append(b"packfile-uris " + b",".join(request.packfile_uris))
    lines += [b"want " + object_id for object_id in request.wants]
    lines += [b"have " + object_id for object_id in request.haves]
    if request.done:
        lines.append(b"done")
    return lines


def _first_wrong(ids: list[bytes], hex_length: int) -> bytes:
    return next(i for i in ids if not is_object_id(i, hex_length))


def _unexpected(line: bytes) -> Malformed:
    return Malformed(f"fetch: unexpected line: '{quoted(line)}'")
