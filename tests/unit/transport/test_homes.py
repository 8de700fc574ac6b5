"""Packs that one worker has another one make: the same bytes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from gitserve.transport import homes as module
from gitserve.transport.homes import Homes

from tests.support.orders import BEGUN, LONG, SIZE, Ordered, alone, at_home, elsewhere


def test_the_same_bytes(path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    want = alone(path)
    assert want.startswith(BEGUN)
    assert len(want) > SIZE
    ordered = Ordered(path, elsewhere(homes, path))

    def here(_service: object, *_: object) -> None:
        raise AssertionError("it is made by who ordered it")

    with at_home(homes, path):
        monkeypatch.setattr(ordered._service, "_pack_stream", here, raising=True)
        ordered.send()
    assert ordered.client.end() == want
    assert ordered.client.conversation.sent == len(want)
    assert (ordered.tally.objects, ordered.tally.pack_bytes > SIZE) == (5, True)


def test_one_after_the_other_and_at_once(path: Path, homes: Homes) -> None:
    want = alone(path)
    other = elsewhere(homes, path)
    with at_home(homes, path):
        for _ in range(3):
            ordered = Ordered(path, other)
            ordered.send()
            assert ordered.client.end() == want
        many = [Ordered(path, other) for _ in range(12)]
        threads = [threading.Thread(target=one.send) for one in many]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert {one.client.end() for one in many} == {want}


def test_what_a_policy_hides_stays_hidden(path: Path, homes: Homes) -> None:
    hidden = (b"refs/tags/",)
    want = alone(path, hidden)
    assert len(want) < len(alone(path))
    with at_home(homes, path):
        ordered = Ordered(path, elsewhere(homes, path), hidden)
        ordered.send()
        assert ordered.client.end() == want
        assert ordered.tally.objects == 4


def test_whose_home_is_here_makes_it_himself(
    path: Path, homes: Homes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", LONG)
    homes.move_in(homes.of(str(path)))
    ordered = Ordered(path, homes)
    begun = time.monotonic()
    ordered.send()
    assert time.monotonic() - begun < LONG, "he has waited for himself"
    assert ordered.client.end() == alone(path)
