"""Capability lists: what each side can do, as words with or without a value.

In: the bytes behind a NUL or a want (v0, v1), or the lines of an advertisement (v2). Out: names
and values. It must not know what any capability means.

Git's document: gitprotocol-capabilities; gitprotocol-v2, "Capability Advertisement".
"""

from __future__ import annotations

from collections.abc import Iterable

from gitserve.record import TYPE_CHECKING
from gitserve.wire.pktline import FLUSH_PKT, chomp, encode

if TYPE_CHECKING:
    from typing import Final

Capability = tuple[bytes, bytes | None]
"""Name, and what follows the ``=`` if there is one."""

AGENT_MAX: Final = 256
"""Bytes of an agent that are kept: it is for people who read logs."""

_PRINTABLE: Final = bytes(c if 33 <= c <= 126 else ord(".") for c in range(256))


def parse_capabilities(data: bytes) -> dict[bytes, bytes | None]:
    """The space-separated list of v0 and v1. Of a name given twice, the first value counts."""
    found: dict[bytes, bytes | None] = {}
    for word in data.split():
        name, equals, value = word.partition(b"=")
        found.setdefault(name, value if equals else None)
    return found


def format_capabilities(capabilities: Iterable[Capability]) -> bytes:
    """The space-separated list of v0 and v1."""
    return b" ".join([_word(*capability) for capability in capabilities])


def format_advertisement(capabilities: Iterable[Capability]) -> bytes:
    """All of v2's first message: version, one capability a packet, flush."""
    packets = [b"000eversion 2\n"]
    packets += [encode(_word(*capability) + b"\n") for capability in capabilities]
    packets.append(FLUSH_PKT)
    return b"".join(packets)


def parse_advertisement(lines: Iterable[bytes]) -> dict[bytes, bytes | None]:
    """v2's first message without its version: the lines up to the flush."""
    found: dict[bytes, bytes | None] = {}
    for line in lines:
        name, equals, value = chomp(line).partition(b"=")
        found.setdefault(name, value if equals else None)
    return found


def sanitised_agent(agent: bytes) -> bytes:
    """An agent that cannot break a list or a log: printable ASCII, no blanks, not without end."""
    return agent[:AGENT_MAX].translate(_PRINTABLE)


def _word(name: bytes, value: bytes | None) -> bytes:
    return name if value is None else b"%b=%b" % (name, value)
