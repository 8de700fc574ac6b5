"""A proc-receive hook that cannot be started."""

from __future__ import annotations

from typing import cast

import pytest
from gitserve.service.hooks import Hooks
from gitserve.service.proc_receive import NOT_RUN, ProcReceive
from gitserve.service.remarks import Remarks
from gitserve.wire.receive_commands import Command


class Unstartable:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def start(self, *_: object) -> None:
        raise self.error


class Silent:
    def say(self, _: bytes) -> None: ...

    def error(self, _: bytes) -> None: ...


@pytest.mark.parametrize("error", [OSError(), ValueError("embedded null byte")])
def test_what_it_was_to_do_is_refused(error: Exception) -> None:
    hook = ProcReceive(cast(Hooks, Unstartable(error)), cast(Remarks, Silent()), atomic=False)
    command = Command(b"refs/for/main", b"0" * 40, b"1" * 40)
    assert hook.run([command], frozenset([command.ref]))[command.ref].error == NOT_RUN
