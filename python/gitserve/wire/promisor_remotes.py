"""Where a client could get what a server lacks: v2's promisor-remote capability.

In: names and fields; what the client answers. Out: the capability's value, and back. It must not
know configuration.

Git's document: gitprotocol-v2, "promisor-remote=<pr-info>".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitserve.record import Record
from gitserve.wire import percent

_PLAIN = b"/:=!$&'()*+@?#[]"
"""What may stand in a value as it is; the commas and semicolons of the format may not."""

MAX_ACCEPTED = 1000
"""Names that a client's answer is read for."""


class PromisorRemote(Record):
    """One of them."""

    name: str
    fields: tuple[tuple[str, str], ...] = ()
    """``url``, then what else the repository tells."""


def format(remotes: Iterable[PromisorRemote]) -> bytes:
    """The value; empty when there are none."""
    told = []
    for remote in remotes:
        fields = [("name", remote.name), *remote.fields]
        told.append(b",".join(_bytes(key) + b"=" + _quoted(value) for key, value in fields))
    return b";".join(told)


def parse_accepted(value: bytes, offered: Sequence[PromisorRemote]) -> tuple[str, ...]:
    """Of those offered, the ones that the client will use."""
    said = {percent.decode(name) for name in value.split(b";")[:MAX_ACCEPTED]}
    return tuple(remote.name for remote in offered if _bytes(remote.name) in said)


def _quoted(value: str) -> bytes:
    return percent.encode(_bytes(value), _PLAIN)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
