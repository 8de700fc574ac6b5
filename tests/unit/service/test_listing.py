"""What a listing of refs looks at, when the same has been asked before."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitserve.repository.locate import locate
from gitserve.repository.native import NativeRepository
from gitserve.service.requests import Manner, ServiceOptions, serve_upload
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.transport.outbox import Outbox

from tests.support.gits import Git
from tests.support.raw import FLUSH, pkt
from tests.support.repositories import small


class Client:
    """Asks for all refs, with what tags peel to."""

    def __init__(self) -> None:
        self._said = [pkt(b"command=ls-refs") + b"0001" + pkt(b"peel") + FLUSH]

    def read(self, _size: int, /) -> bytes:
        return self._said.pop() if self._said else b""


def listed(repository: NativeRepository) -> bytes:
    road = Outbox()
    manner = Manner(version=2, stateless=True)
    serve_upload(repository, Conversation(Client(), road), manner, ServiceOptions(), Tally())
    return b"".join(map(bytes, road.take()))


def test_no_objects_for_a_remembered_one(
    newest_git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.git"
    small(newest_git, path)
    newest_git.run("tag", "-a", "-m", "x", "marked", "main", cwd=path)
    location = locate(str(path))
    assert location is not None
    repository = NativeRepository(location)
    first = listed(repository)
    assert b" peeled:" in first

    looks = 0
    store = repository.objects

    def look(_self: NativeRepository) -> object:
        nonlocal looks
        looks += 1
        return store

    monkeypatch.setattr(NativeRepository, "objects", property(look))
    assert (listed(repository), looks) == (first, 0)
    newest_git.run("tag", "-a", "-m", "y", "later", "main", cwd=path)
    assert b"refs/tags/later peeled:" in listed(repository).replace(b"\n", b" ")
    assert looks == 1
