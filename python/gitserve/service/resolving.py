"""``remote: Resolving deltas``: what a pusher sees while the server applies deltas.

In: counts. Out: remarks, as git's index-pack words them; empty packets while there is nothing to
say, so that the connection is not thought dead.
"""

from __future__ import annotations

import time

from gitserve.service.remarks import Remarks


class ResolvingProgress:
    """Called by the core with (done, total), a few times a second."""

    __slots__ = ("_keep_alive", "_last", "_quiet", "_remarks", "_said_at", "_total")

    def __init__(self, remarks: Remarks, *, quiet: bool, keep_alive: float) -> None:
        """``keep_alive``: seconds of silence until an empty packet; 0 for none."""
        self._remarks = remarks
        self._quiet = quiet
        self._keep_alive = keep_alive
        self._last = -1
        self._total = 0
        self._said_at = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        self._total = total
        percent = done * 100 // total if total else 0
        if not self._quiet and percent != self._last and done < total:
            self._last = percent
            self._remarks.say(b"Resolving deltas: %3d%% (%d/%d)   \r" % (percent, done, total))
        elif not self._keep_alive or time.monotonic() - self._said_at < self._keep_alive:
            return
        else:
            self._remarks.keep_alive()
        self._said_at = time.monotonic()

    def finish(self) -> None:
        """The line that stays."""
        if self._total and not self._quiet:
            self._remarks.say(
                b"Resolving deltas: 100%% (%d/%d), done.\n" % (self._total, self._total)
            )
