"""Performs upload effects with git's plumbing, slowly and plainly: the sessions' oracle world."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gitserve.session.effects import (
    AddHaves,
    AdvertiseRefs,
    BeginNegotiation,
    CheckWants,
    Common,
    Deepen,
    DeepenKind,
    Effect,
    Framing,
    ListRefs,
    SendPack,
    ShallowUpdate,
    WantReach,
)
from gitserve.wire import sideband
from gitserve.wire.pktline import FLUSH_PKT, encode
from gitserve.wire.sideband import Band

ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C",
}


def git(path: Path, *args: str, data: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """What a git command prints."""
    return subprocess.run(
        ["git", "-C", str(path), *args],
        input=data,
        capture_output=True,
        check=True,
        env=ENV | (env or {}),
    ).stdout


class GitRepository:
    """A repository that does not change while it is looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refs: list[tuple[bytes, bytes, bytes]] = []
        for line in git(
            path, "for-each-ref", "--format=%(objectname) %(refname) %(*objectname)"
        ).splitlines():
            object_id, name, peeled = line.split(b" ")
            self.refs.append((name, object_id, peeled))
        self.head = git(path, "rev-parse", "HEAD").strip()
        self.head_target = git(path, "symbolic-ref", "HEAD").strip()
        self.parents: dict[bytes, list[bytes]] = {}
        for line in git(path, "rev-list", "--all", "--parents").splitlines():
            commit_id, *parents = line.split()
            self.parents[commit_id] = parents
        self.objects = {
            line.split()[0]
            for line in git(path, "cat-file", "--batch-all-objects", "--batch-check").splitlines()
        }
        self._wants: tuple[bytes, ...] = ()
        self._shallow: tuple[bytes, ...] = ()
        self._common: list[bytes] = []

    def perform(self, effect: Effect) -> Any:
        """The reply, or the bytes of an effect that writes."""
        match effect:
            case AdvertiseRefs():
                return self._advertise(effect)
            case ListRefs():
                return self._list(effect)
            case CheckWants():
                return self._check(effect)
            case Deepen():
                return self._deepen(effect)
            case BeginNegotiation():
                restored = [p for one in effect.unshallow for p in self.parents[one]]
                self._wants = (*effect.wants, *restored)
                self._shallow = effect.client_shallow
                self._common = []
                return None
            case AddHaves():
                return self._add(effect)
            case SendPack():
                return self._pack(effect)
        raise AssertionError(effect)

    def _advertise(self, effect: AdvertiseRefs) -> bytes:
        lines = [self.head + b" HEAD"]
        for name, object_id, peeled in self.refs:
            lines.append(object_id + b" " + name)
            if peeled:
                lines.append(peeled + b" " + name + b"^{}")
        lines[0] += b"\0" + effect.capabilities
        return b"".join(encode(line + b"\n") for line in lines) + FLUSH_PKT

    def _list(self, effect: ListRefs) -> bytes:
        lines = []
        for name, object_id, peeled in [(b"HEAD", self.head, b""), *self.refs]:
            if effect.prefixes and not name.startswith(effect.prefixes):
                continue
            line = object_id + b" " + name
            if effect.symrefs and name == b"HEAD":
                line += b" symref-target:" + self.head_target
            if effect.peel and peeled:
                line += b" peeled:" + peeled
            lines.append(line + b"\n")
        return b"".join(encode(line) for line in lines) + FLUSH_PKT

    def _check(self, effect: CheckWants) -> bytes | None:
        allowed: set[bytes] = {object_id for _, object_id, _ in self.refs} | {self.head}
        if effect.reach is WantReach.REACHABLE:
            allowed |= set(self.parents)
        elif effect.reach is WantReach.ANY:
            allowed = self.objects
        return next((want for want in effect.wants if want not in allowed), None)

    def _add(self, effect: AddHaves) -> Common:
        common = []
        ready_at = None
        for index, have in enumerate(effect.haves):
            if have in self.objects:
                common.append(have)
                self._common.append(have)
            elif effect.find_ready_at and ready_at is None and self._ready():
                ready_at = index
        return Common(common, self._ready(), ready_at)

    def _ready(self) -> bool:
        # git marks the parents of what the client has, too.
        reached = set(self._common)
        for have in set(self._common) - set(self._shallow):
            reached.update(self.parents.get(have, ()))
        return bool(self._common) and all(
            self._reach([want], set()) & reached for want in self._wants
        )

    def _reach(self, ids: Iterable[bytes], boundary: set[bytes]) -> set[bytes]:
        """Commits from these on, as far as the boundary."""
        peeled = {tag: commit_id for _, tag, commit_id in self.refs if commit_id}
        found: set[bytes] = set()
        todo = [peeled.get(one, one) for one in ids]
        while todo:
            one = todo.pop()
            if one in self.parents and one not in found:
                found.add(one)
                todo += [] if one in boundary else self.parents[one]
        return found

    def _deepen(self, effect: Deepen) -> ShallowUpdate:
        if effect.kind is DeepenKind.NONE:
            return ShallowUpdate()
        if effect.kind is DeepenKind.DEPTH:
            depths: dict[bytes, int] = {}
            level, depth = list(effect.wants), 1
            while level and depth <= effect.depth:
                depths.update({one: depth for one in level if one not in depths})
                level = [p for one in level for p in self.parents[one] if p not in depths]
                depth += 1
            kept = set(depths)
        else:
            names = [name for name, _, _ in self.refs]
            args = [want.decode() for want in effect.wants]
            for ref in effect.exclude:
                full = next((n for n in (ref, b"refs/heads/" + ref) if n in names), None)
                if full is None:
                    return ShallowUpdate(unknown_ref=ref)
                args.append("^" + full.decode())
            if effect.since is not None:
                args.append(f"--since={effect.since}")
            kept = set(git(self.path, "rev-list", *args).split())
        cut = {one for one in kept if any(p not in kept for p in self.parents[one])}
        return ShallowUpdate(
            tuple(sorted(cut - set(effect.client_shallow))),
            tuple(one for one in effect.client_shallow if one in kept - cut),
        )

    def _pack(self, effect: SendPack) -> bytes:
        update = effect.shallow_update
        boundary = {*effect.client_shallow, *update.shallow} - set(update.unshallow)
        sent = self._reach(effect.wants, boundary)
        wanted = self._objects([*effect.wants, *sent], effect.filter_spec)
        there = self._reach(self._common, set(effect.client_shallow))
        wanted -= self._objects([*self._common, *there], None)
        if effect.include_tag:
            wanted |= {one for _, one, peeled in self.refs if peeled in wanted}
        pack = git(self.path, "pack-objects", "--stdout", "-q", data=b"\n".join([*wanted, b""]))
        if effect.framing is Framing.NONE:
            return pack
        return sideband.encode(Band.DATA, pack, effect.framing.value)

    def _objects(self, ids: list[bytes], filter_spec: bytes | None) -> set[bytes]:
        if not ids:
            return set()
        args = [f"--filter={filter_spec.decode()}"] if filter_spec else []
        data = b"\n".join([*ids, b""])
        listed = git(self.path, "rev-list", "--objects", "--no-walk", *args, "--stdin", data=data)
        return {line.split()[0] for line in listed.splitlines()}
