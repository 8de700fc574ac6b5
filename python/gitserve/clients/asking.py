"""What callers say in dulwich's words, in ours.

In: functions and values of the public methods. Out: ids, commands, deepenings. Must not know the
server but for what it offered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gitserve.wire.deepening import INFINITE_DEPTH, Deepening
from gitserve.wire.object_id import is_object_id
from gitserve.wire.receive_commands import Command
from gitserve.wire.ref_advertisement import RefAdvertisement

WantsFunction = Callable[..., Iterable[bytes | None]]
"""Gets the server's refs, and the depth when it takes a second argument; returns ids."""


def ask_wants(
    function: WantsFunction, refs: Mapping[bytes, bytes], depth: int | None
) -> tuple[bytes, ...]:
    """The ids that are wanted, each once. Raises ValueError for what is no id."""
    arguments: tuple[Any, ...] = (dict(refs), depth) if takes_two(function) else (dict(refs),)
    wants: dict[bytes, None] = {}
    for want in function(*arguments):
        if want is None or not want.strip(b"0"):
            continue
        if not (is_object_id(want, 40) or is_object_id(want, 64)):
            raise ValueError(f"determine_wants returned {want!r}, which is no object id")
        wants[want] = None
    return tuple(wants)


def takes_two(function: Callable[..., object]) -> bool:
    """Can it be called with refs and depth?"""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind({}, None)
    except TypeError:
        return False
    return True


def deepening_of(
    depth: int | None,
    since: str | int | datetime | None,
    exclude: Sequence[str | bytes] | None,
) -> Deepening:
    """``since``: seconds since 1970, or an ISO 8601 date. Raises ValueError."""
    if depth is not None and depth < 0:
        raise ValueError(f"depth {depth} is negative")
    names = tuple(name.encode() if isinstance(name, str) else name for name in exclude or ())
    return Deepening(min(depth or 0, INFINITE_DEPTH), _seconds(since), names)


def _seconds(since: str | int | datetime | None) -> int | None:
    if since is None or isinstance(since, int):
        return since
    if isinstance(since, str):
        if since.isdecimal():
            return int(since)
        since = datetime.fromisoformat(since)
    return int(since.timestamp())


@dataclass(frozen=True, slots=True)
class Moves:
    """What a push asks for."""

    commands: tuple[Command, ...]
    impossible: dict[bytes, str] = field(default_factory=dict)
    """Refs that this server cannot move, and why."""


def moves_of(offer: RefAdvertisement, asked: Mapping[bytes, bytes]) -> Moves:
    """Commands for the refs that are not already as they shall be."""
    commands: list[Command] = []
    impossible: dict[bytes, str] = {}
    zeros = b"0" * (64 if offer.object_format == "sha256" else 40)
    for name, value in asked.items():
        new = value if value.strip(b"0") else zeros
        command = Command(name, offer.refs.get(name, zeros), new)
        if not is_object_id(new, len(zeros)):
            raise ValueError(f"{name!r} cannot become {value!r}, which is no object id")
        if command.old == command.new:
            continue
        if command.is_delete and b"delete-refs" not in offer.capabilities:
            impossible[name] = "remote does not support deleting refs"
        else:
            commands.append(command)
    return Moves(tuple(commands), impossible)
