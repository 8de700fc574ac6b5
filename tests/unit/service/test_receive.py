"""Pushes that fail before their objects have a place."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from gitserve.errors import RepositoryError
from gitserve.repository.native import NativeRepository
from gitserve.service import push
from gitserve.service.receive import ReceiveService
from gitserve.service.streams import Conversation
from gitserve.session.effects import Framing, TakePack

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
