"""A repository for sessions that are played without one: it knows a few ids, does what is asked.

In: an effect. Out: its reply.
"""

from __future__ import annotations

from typing import Any

from gitserve.session.effects import (
    AddHaves,
    AdvertiseRefs,
    ApplyCommands,
    CheckWants,
    Common,
    Deepen,
    Effect,
    LeaveToUris,
    ListBundles,
    ListRefs,
    MeasureObjects,
    ResolveRefs,
    SendArchive,
    SendPack,
    ShallowUpdate,
    TakePack,
    Unpacked,
)
from gitserve.wire.report import CommandResult

from tests.unit.session.player import Played

IDS = [b"%040d" % n for n in range(5)]
HERE = {*IDS[1:3], b"a" * 40, b"b" * 40}


def perform(effect: Effect) -> Any:
    """A small world that knows some of the ids."""
    match effect:
        case AdvertiseRefs():
            return b""
        case ListRefs():
            return b"0000"
        case SendPack() | SendArchive():
            return b""
        case CheckWants():
            return next((want for want in effect.wants if want not in HERE), None)
        case ResolveRefs():
            return [IDS[1] if name.startswith(b"refs/") else None for name in effect.names]
        case MeasureObjects():
            return [7 if one in HERE else None for one in effect.ids]
        case ListBundles() | LeaveToUris():
            return []
        case Deepen():
            return ShallowUpdate((IDS[1],))
        case AddHaves():
            common = [have for have in effect.haves if have in HERE]
            other = [i for i, have in enumerate(effect.haves) if have not in HERE]
            return Common(common, bool(common), other[0] if other else None)
        case TakePack():
            return Unpacked()
        case ApplyCommands():
            return [CommandResult(command.ref) for command in effect.commands]
    return None


def done(played: Played) -> list[Effect | bytes]:
    """What was asked for, haves one by one: how many come at once is up to the network."""
    each: list[Effect | bytes] = []
    for effect in played.effects:
        each += effect.haves if isinstance(effect, AddHaves) else [effect]
    return each
