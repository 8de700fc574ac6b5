"""``remote: Resolving deltas``: what a pusher sees while the server applies deltas.

In: counts. Out: remarks, as git's index-pack words them.
"""

from __future__ import annotations

from gitserve.service.remarks import Remarks


class ResolvingProgress:
    """Called by the core with (done, total), a few times a second."""

    __slots__ = ("_last", "_remarks", "_total")

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks
        self._last = -1
        self._total = 0

    def __call__(self, done: int, total: int) -> None:
        percent = done * 100 // total if total else 0
        self._total = total
        if total and percent != self._last and done < total:
            self._last = percent
            self._remarks.say(b"Resolving deltas: %3d%% (%d/%d)   \r" % (percent, done, total))
        else:
            self._remarks.keep_alive()

    def finish(self) -> None:
        """The line that stays."""
        if self._total:
            self._remarks.say(
                b"Resolving deltas: 100%% (%d/%d), done.\n" % (self._total, self._total)
            )
