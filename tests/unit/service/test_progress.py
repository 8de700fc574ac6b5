"""What a pusher sees while the server works."""

from __future__ import annotations

import threading

import pytest
from gitserve.errors import HangupError
from gitserve.service import resolving
from gitserve.service.keepalive import MIN_OBJECTS, kept_alive
from gitserve.service.remarks import Remarks
from gitserve.service.resolving import ResolvingProgress
from gitserve.service.streams import Conversation
from gitserve.session.effects import Framing


class Sink:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.heard = threading.Event()
        self.gone = False

    def read(self, size: int, /) -> bytes:
        return bytes(0 * size)

    def write(self, data: bytes, /) -> None:
        if self.gone:
            raise HangupError(HangupError.GONE)
        self.written.append(data)
        self.heard.set()


def remarks(sink: Sink, framing: Framing = Framing.SIDE_BAND_64K) -> Remarks:
    return Remarks(Conversation(sink, sink), framing)


def test_percentages_are_told_once() -> None:
    sink = Sink()
    progress = ResolvingProgress(remarks(sink), quiet=False, keep_alive=5)
    for done in (0, 1, 1, 50, 50):
        progress(done, 100)
    progress(100, 100)
    progress.finish()
    assert sink.written == [
        b"0027\x02Resolving deltas:   0% (0/100)   \r",
        b"0027\x02Resolving deltas:   1% (1/100)   \r",
        b"0028\x02Resolving deltas:  50% (50/100)   \r",
        b"002d\x02Resolving deltas: 100% (100/100), done.\n",
    ]


def test_a_quiet_client_is_only_kept_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(resolving.time, "monotonic", lambda: now[0])
    sink = Sink()
    progress = ResolvingProgress(remarks(sink), quiet=True, keep_alive=5)
    for seconds in (1, 4, 1, 3, 2):
        now[0] += seconds
        progress(1, 100)
    progress.finish()
    assert sink.written == [b"0005\x01", b"0005\x01"]


def test_long_work_keeps_the_client_awake() -> None:
    sink = Sink()
    with kept_alive(remarks(sink), 0.01, MIN_OBJECTS):
        assert sink.heard.wait(20)
    count = len(sink.written)
    assert set(sink.written) == {b"0005\x01"}
    sink.heard.clear()
    assert not sink.heard.wait(0.05)
    assert len(sink.written) == count, "nothing is written when the work is over"


def test_short_work_and_clients_without_bands_are_left_alone() -> None:
    sink = Sink()
    before = threading.active_count()
    with kept_alive(remarks(sink), 0.001, MIN_OBJECTS - 1):
        assert threading.active_count() == before
    with kept_alive(remarks(sink, Framing.NONE), 0.001, MIN_OBJECTS):
        assert not sink.heard.wait(0.05)


def test_a_client_that_is_gone_disturbs_nobody() -> None:
    sink = Sink()
    sink.gone = True
    with kept_alive(remarks(sink), 0.001, MIN_OBJECTS):
        pass


def test_without_bands_remarks_go_aside() -> None:
    sink = Sink()
    aside: list[bytes] = []
    spoken = Remarks(Conversation(sink, sink), Framing.NONE, aside.append)
    spoken.error(b"no")
    spoken.warning(b"well")
    spoken.keep_alive()
    assert (aside, sink.written) == ([b"error: no\n", b"warning: well\n"], [])


def test_remarks_to_nobody_stop_after_the_first() -> None:
    sink = Sink()
    sink.gone = True
    spoken = remarks(sink)
    spoken.say_if_heard(b"x")
    sink.gone = False
    spoken.say_if_heard(b"y")
    assert sink.written == []
