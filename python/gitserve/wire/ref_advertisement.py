"""The server's first message in v0 and v1: every ref it shows, and what it can do.

In: the lines up to the flush. Out: :class:`RefAdvertisement`. Only the reading end is here; the
writing one is the core's, straight from its refs. It must not know what a capability means, but
for those that describe the refs themselves.

Git's document: gitprotocol-pack, "Reference Discovery"; gitprotocol-capabilities, "symref".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitserve.record import EMPTY, TYPE_CHECKING, Record
from gitserve.wire.capabilities import parse_capabilities
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import HEX_LENGTHS, all_object_ids
from gitserve.wire.pktline import chomp

if TYPE_CHECKING:
    from typing import Final

PEELED: Final = b"^{}"
"""Behind the name of a tag: what the tag leads to in the end."""

_NO_REFS: Final = b"capabilities^{}"


class RefAdvertisement(Record):
    """What a server shows before it is asked anything."""

    refs: Mapping[bytes, bytes] = EMPTY
    """Name to id, ``HEAD`` included."""
    peeled: Mapping[bytes, bytes] = EMPTY
    """Name of a tag's ref to the id behind the tag."""
    symrefs: Mapping[bytes, bytes] = EMPTY
    haves: tuple[bytes, ...] = ()
    """Ids that the server can reach without a ref that it shows (``.have``)."""
    shallow: tuple[bytes, ...] = ()
    """Commits at which the server's own history ends."""
    capabilities: Mapping[bytes, bytes | None] = EMPTY

    @property
    def object_format(self) -> str:
        """``sha1`` where the server says nothing."""
        return (self.capabilities.get(b"object-format") or b"sha1").decode("ascii", "replace")


def parse(lines: Sequence[bytes]) -> RefAdvertisement:
    """Raises :class:`Malformed`."""
    refs: dict[bytes, bytes] = {}
    peeled: dict[bytes, bytes] = {}
    haves: list[bytes] = []
    shallow: list[bytes] = []
    listed = next((line for line in lines if b"\0" in line), b"").partition(b"\0")[2]
    capabilities = parse_capabilities(listed)
    object_format = (capabilities.get(b"object-format") or b"sha1").decode("ascii", "replace")
    hex_length = HEX_LENGTHS.get(object_format)
    if hex_length is None:
        raise Malformed(f"unknown object format '{quoted(object_format.encode())}'")
    for raw in lines:
        line = chomp(raw.partition(b"\0")[0])
        if line[:8] == b"shallow ":
            shallow.append(line[8:])
            continue
        object_id, name = line[:hex_length], line[hex_length + 1 :]
        if line[hex_length : hex_length + 1] != b" " or not name:
            raise Malformed(f"unexpected ref line '{quoted(line)}'")
        if name == b".have":
            haves.append(object_id)
        elif name.endswith(PEELED):
            if name != _NO_REFS:
                peeled[name[:-3]] = object_id
        else:
            refs[name] = object_id
    ids = [*refs.values(), *peeled.values(), *haves, *shallow]
    if not all_object_ids(ids, hex_length):
        raise Malformed("an advertised id is no object id")
    return RefAdvertisement(
        refs, peeled, _symrefs(listed), tuple(haves), tuple(shallow), capabilities
    )


def _symrefs(listed: bytes) -> dict[bytes, bytes]:
    # The one capability that may stand there several times.
    found: dict[bytes, bytes] = {}
    for word in listed.split():
        if word[:7] == b"symref=":
            name, colon, target = word[7:].partition(b":")
            if colon and name and target:
                found[name] = target
    return found
