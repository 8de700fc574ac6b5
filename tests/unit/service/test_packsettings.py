"""Settings that no client notices: they have to reach the core all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gitserve.repository.locate import locate
from gitserve.repository.native import NativeRepository
from gitserve.service import bundling, upload
from gitserve.service.requests import Manner, ServiceOptions, serve_upload
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.transport.outbox import Outbox

from tests.support.gits import Git
from tests.support.raw import FLUSH, pkt
from tests.support.repositories import small


class Client:
    """Wants a branch."""

    def __init__(self, tip: str) -> None:
        self._said = [
            pkt(b"command=fetch") + b"0001" + pkt(b"want " + tip.encode()) + pkt(b"done") + FLUSH
        ]

    def read(self, _size: int, /) -> bytes:
        return self._said.pop() if self._said else b""


SETTINGS = {
    "pack.threads": ("3", "threads", 3), "pack.useBitmaps": ("false", "use_bitmaps", False),
    "pack.window": ("7", "window", 7), "pack.depth": ("8", "depth", 8),
    "pack.windowMemory": ("9k", "window_memory", 9 << 10), "pack.compression": ("2", "level", 2),
    "core.bigFileThreshold": ("1m", "big_file_threshold", 1 << 20),
    "pack.allowPackReuse": ("false", "reuse_packs", False),
}  # fmt: skip


@pytest.mark.parametrize("key", [None, *SETTINGS])
@pytest.mark.parametrize("maker", [upload, bundling], ids=["upload", "bundle"])
def test_of_packs(
    newest_git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maker: Any, key: str | None
) -> None:
    path = tmp_path / "small.git"
    small(newest_git, path)
    if key is not None:
        newest_git.run("config", key, SETTINGS[key][0], cwd=path)
    asked: list[dict[str, Any]] = []
    make = maker.PackStream

    def record(*words: Any, **named: Any) -> Any:
        asked.append(named)
        return make(*words, **named)

    monkeypatch.setattr(maker, "PackStream", record)
    location = locate(str(path))
    assert location is not None
    repository = NativeRepository(location)
    if maker is bundling:
        bundling.make_bundle(repository)
    else:
        client = Client(newest_git.text("rev-parse", "main", cwd=path))
        conversation = Conversation(client, Outbox())
        manner = Manner(version=2, stateless=True)
        serve_upload(repository, conversation, manner, ServiceOptions(), Tally())
    (named,) = asked
    for other, (_, name, value) in SETTINGS.items():
        assert (named[name] == value) == (other == key), other
