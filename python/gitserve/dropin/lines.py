"""The lines of the protocol as functions, by the names dulwich gave them.

In: ids, ref names, capabilities as bytes. Out: payloads and pkt-lines, or the parts of them. Git's
documents: gitprotocol-pack, gitprotocol-capabilities. Must not know who sends them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gitserve import __version__
from gitserve.dropin.words import (
    CAPABILITY_AGENT,
    CAPABILITY_OBJECT_FORMAT,
    CAPABILITY_SYMREF,
    COMMAND_SHALLOW,
    COMMAND_UNSHALLOW,
    MULTI_ACK,
    MULTI_ACK_DETAILED,
    PEELED_TAG_SUFFIX,
    SINGLE_ACK,
)
from gitserve.repository.objects import Objects


def pkt_line(data: bytes | None) -> bytes:
    """One pkt-line; the flush packet for None."""
    return b"0000" if data is None else b"%04x%b" % (len(data) + 4, data)


def pkt_seq(*seq: bytes | None) -> bytes:
    """Several pkt-lines and a flush."""
    return b"".join(map(pkt_line, seq)) + b"0000"


def agent_string() -> bytes:
    """Who we are: ``gitserve/<version>``."""
    return f"gitserve/{__version__}".encode("ascii")


def capability_agent() -> bytes:
    """``agent=...``."""
    return b"%b=%b" % (CAPABILITY_AGENT, agent_string())


def capability_object_format(fmt: str) -> bytes:
    """``object-format=...`` of ``sha1`` or ``sha256``."""
    return b"%b=%b" % (CAPABILITY_OBJECT_FORMAT, fmt.encode("ascii"))


def capability_symref(from_ref: bytes, to_ref: bytes) -> bytes:
    """``symref=from:to``."""
    return b"%b=%b:%b" % (CAPABILITY_SYMREF, from_ref, to_ref)


def symref_capabilities(symrefs: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """One capability for each (name, target)."""
    return [capability_symref(name, target) for name, target in symrefs]


def parse_capability(capability: bytes) -> tuple[bytes, bytes | None]:
    """Name and value; None when there is no ``=``."""
    name, equals, value = capability.partition(b"=")
    return name, value if equals else None


def extract_capability_names(capabilities: Iterable[bytes]) -> set[bytes]:
    """The names without their values."""
    return {parse_capability(capability)[0] for capability in capabilities}


def find_capability(capabilities: Iterable[bytes], *capability_names: bytes) -> bytes | None:
    """The value of the first capability with one of these names; its name when it has no value."""
    for capability in capabilities:
        name, value = parse_capability(capability)
        if name in capability_names:
            return name if value is None else value
    return None


def extract_capabilities(text: bytes) -> tuple[bytes, list[bytes]]:
    """What stands before the NUL of a ref line, and the capabilities behind it."""
    before, nul, behind = text.partition(b"\0")
    return (before, behind.strip().split(b" ")) if nul else (text, [])


def extract_want_line_capabilities(text: bytes) -> tuple[bytes, list[bytes]]:
    """A first want line without its capabilities, and the capabilities."""
    words = text.rstrip().split(b" ")
    return (text, []) if len(words) < 3 else (b" ".join(words[:2]), words[2:])


def ack_type(capabilities: Iterable[bytes]) -> int:
    """The richest manner of acknowledging that both sides know."""
    listed = set(capabilities)
    if b"multi_ack_detailed" in listed:
        return MULTI_ACK_DETAILED
    return MULTI_ACK if b"multi_ack" in listed else SINGLE_ACK


def format_cmd_pkt(cmd: bytes, *args: bytes) -> bytes:
    """The payload of a git:// request: each argument ends in a NUL."""
    return cmd + b" " + b"".join([argument + b"\0" for argument in args])


def parse_cmd_pkt(line: bytes) -> tuple[bytes, list[bytes]]:
    """Command and arguments. Raises AssertionError when the last argument has no NUL."""
    command, _, arguments = line.partition(b" ")
    # part of the interface: callers have come to catch it
    assert arguments.endswith(b"\0"), "the request does not end in a NUL"
    return command, arguments[:-1].split(b"\0")


def format_capability_line(capabilities: Iterable[bytes]) -> bytes:
    """The list, with a blank before each."""
    return b"".join([b" " + capability for capability in capabilities])


def format_ref_line(ref: bytes, sha: bytes, capabilities: Sequence[bytes] | None = None) -> bytes:
    """A line of the advertisement; the first one carries the capabilities."""
    if capabilities is None:
        return b"%b %b\n" % (sha, ref)
    return b"%b %b\0%b\n" % (sha, ref, format_capability_line(capabilities))


def format_shallow_line(sha: bytes) -> bytes:
    """``shallow <id>``."""
    return b"%b %b" % (COMMAND_SHALLOW, sha)


def format_unshallow_line(sha: bytes) -> bytes:
    """``unshallow <id>``."""
    return b"%b %b" % (COMMAND_UNSHALLOW, sha)


def format_ack_line(sha: bytes, ack_type: bytes = b"") -> bytes:
    """``ACK <id>``, with ``continue``, ``common`` or ``ready`` behind it."""
    return b"ACK %b%b\n" % (sha, b" " + ack_type if ack_type else b"")


def strip_peeled_refs(refs: Mapping[bytes, bytes | None]) -> dict[bytes, bytes | None]:
    """The refs without the ``^{}`` lines of tags."""
    return {name: value for name, value in refs.items() if not name.endswith(PEELED_TAG_SUFFIX)}


def split_peeled_refs(
    refs: Mapping[bytes, bytes],
) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """(refs, what tags among them peel to), both by the ref's plain name."""
    plain: dict[bytes, bytes] = {}
    peeled: dict[bytes, bytes] = {}
    for name, value in refs.items():
        if name.endswith(PEELED_TAG_SUFFIX):
            peeled[name.removesuffix(PEELED_TAG_SUFFIX)] = value
        else:
            plain[name] = value
    return plain, peeled


def peeled_ids(store: Any, object_id: bytes) -> tuple[bytes, bytes]:
    """The id, and what it peels to, asked of whatever store it is. Raises KeyError.

    dulwich's stores answer ``peel`` with two objects; older ones know only the objects.
    """
    if isinstance(store, Objects):
        objects = store.snapshot
        if object_id not in objects:
            raise KeyError(object_id)
        return object_id, objects.peel(object_id) or object_id
    if hasattr(store, "peel"):
        unpeeled, peeled = store.peel(object_id)
        return unpeeled.id, peeled.id
    at = store[object_id]
    while at.type_name == b"tag":
        at = store[at.object[1]]
    return object_id, at.id


def write_info_refs(refs: Mapping[bytes, bytes], store: Any) -> Iterator[bytes]:
    """The lines of ``info/refs`` for dumb HTTP; refs whose object is missing are left out."""
    for name, value in sorted(refs.items()):
        if name == b"HEAD":
            continue
        try:
            object_id, peeled = peeled_ids(store, value)
        except KeyError:
            continue
        yield b"%b\t%b\n" % (object_id, name)
        if peeled != object_id:
            yield b"%b\t%b%b\n" % (peeled, name, PEELED_TAG_SUFFIX)


def serialize_refs(store: Any, refs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The refs, and ``name^{}`` for each that is a tag."""
    import warnings

    told: dict[bytes, bytes] = {}
    for name, value in refs.items():
        try:
            object_id, peeled = peeled_ids(store, value)
        except KeyError:
            shown = name.decode("utf-8", "replace")
            warnings.warn(
                f"ref {shown} points at non-present sha {value.decode('ascii', 'replace')}",
                UserWarning,
                stacklevel=2,
            )
            continue
        if peeled != object_id:
            told[name + PEELED_TAG_SUFFIX] = peeled
        told[name] = object_id
    return told
