"""Pushes that fail before their objects have a place."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from gitserve._core import Snapshot
from gitserve.errors import Refused, RepositoryError
from gitserve.repository.native import NativeRepository
from gitserve.service import push
from gitserve.service.receive import ReceiveService
from gitserve.service.streams import Conversation
from gitserve.session.effects import ApplyCommands, Framing, TakePack
from gitserve.wire.receive_commands import Command

from tests.support.gits import Git


class Nobody:
    """A peer that is never asked."""

    def read(self, size: int, /) -> bytes:
        raise AssertionError(f"{size} bytes were asked for")

    def write(self, data: bytes, /) -> None:
        raise AssertionError(f"{data!r} was said")


def test_a_disk_that_takes_nothing(
    newest_git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git's word for it, and the file in the log."""

    def full(*_: object, **__: object) -> NoReturn:
        raise RepositoryError("objects/incoming-x: No space left on device")

    newest_git.run("init", "--quiet", "--bare", tmp_path)
    monkeypatch.setattr(push, "Quarantine", full)
    service = ReceiveService(NativeRepository.open(str(tmp_path)), Conversation(Nobody(), Nobody()))
    taken = service.take_pack(TakePack((), (), Framing.NONE, quiet=True))
    assert taken.error == b"unable to create temporary object directory"
    assert service._push.tally.trouble == "unpack: objects/incoming-x: No space left on device"


def some_good_and_bad(git: Git, repository: Path) -> tuple[list[Command], set[bytes]]:
    """Many refs to be made, and those of them whose commits have no tree."""
    git.run("init", "--quiet", "--bare", repository)
    commands, bad = [], set()
    for number in range(40):
        blob = git.run("hash-object", "-w", "--stdin", cwd=repository, stdin=b"%d" % number).stdout
        listed = b"100644 blob %b\tfile\n" % blob.strip()
        tree = git.run("mktree", cwd=repository, stdin=listed).stdout.decode().strip()
        commit = git.text("commit-tree", "-m", "x", tree, cwd=repository)
        ref = b"refs/heads/%d" % number
        if number in (0, 17, 39):
            (repository / "objects" / tree[:2] / tree[2:]).unlink()
            bad.add(ref)
        commands.append(Command(ref, b"0" * 40, commit.encode()))
    return commands, bad


@pytest.mark.parametrize("capitals", [False, True])
def test_only_refs_that_lack_something_are_refused(
    newest_git: Git, tmp_path: Path, *, capitals: bool
) -> None:
    """However many others come with them, and however their ids are spelled."""
    commands, bad = some_good_and_bad(newest_git, tmp_path)
    if capitals:
        commands = [Command(one.ref, one.old, one.new.upper()) for one in commands]
    service = ReceiveService(NativeRepository.open(str(tmp_path)), Conversation(Nobody(), Nobody()))
    results = service.apply_commands(ApplyCommands(tuple(commands), atomic=False))
    wanted = dict.fromkeys(bad, b"missing necessary objects")
    assert {result.ref: result.error for result in results if result.error} == wanted
    listed = newest_git.text("for-each-ref", "--format=%(refname)", cwd=tmp_path).encode()
    assert set(listed.split()) == {command.ref for command in commands} - bad


def test_a_check_that_takes_too_long(
    newest_git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves, and both ends are told why."""
    commands, _ = some_good_and_bad(newest_git, tmp_path)
    said: list[bytes] = []
    limits: list[object] = []

    class Slow:
        path = str(tmp_path / "objects")

        def objects(self) -> Snapshot:
            return NativeRepository.open(str(tmp_path)).objects.snapshot()

        def unconnected(self, *_: object, seconds: int, memory: int, **__: object) -> NoReturn:
            limits.extend((seconds, memory))
            raise Refused(f"took longer than {seconds} seconds")

        def discard(self) -> None:
            pass

    monkeypatch.setattr(push, "Quarantine", lambda *_, **__: Slow())
    newest_git.run("config", "gitserve.maxCheckSeconds", "7", cwd=tmp_path)
    newest_git.run("config", "gitserve.checkMemory", "8k", cwd=tmp_path)
    service = ReceiveService(
        NativeRepository.open(str(tmp_path)), Conversation(Nobody(), Nobody()), aside=said.append
    )
    results = service.apply_commands(ApplyCommands(tuple(commands), atomic=False))
    assert {result.error for result in results} == {
        b"check for missing objects took longer than 7 seconds"
    }
    assert limits == [7, 8192]
    assert b"took longer than 7 seconds" in b"".join(said)
    assert service._push.tally.trouble == "connectivity check: took longer than 7 seconds"
    assert newest_git.text("for-each-ref", cwd=tmp_path) == ""
