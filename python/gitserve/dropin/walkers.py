"""dulwich's graph walkers for v0's three manners of acknowledging, for code built on them.

In: a walker with ``read_proto_line``, ``send_ack``, ``send_nak``, ``notify_done``,
``all_wants_satisfied`` and ``stateless_rpc``. Out: the haves, one a call of ``next``, and answers.
gitserve's own negotiation is in :mod:`gitserve.session.upload_v0` and does not come here. Git's
document: gitprotocol-pack, "Packfile Negotiation".
"""

from __future__ import annotations

from typing import Any

from gitserve.dropin.words import COMMAND_DONE, COMMAND_HAVE

_LINES = (COMMAND_HAVE, COMMAND_DONE, None)
"""What may come while haves are told; None is a flush."""


class AckGraphWalkerImpl:
    """One manner. ``next`` gives None when the client has told enough."""

    def __init__(self, graph_walker: Any) -> None:
        raise NotImplementedError

    def ack(self, have_ref: bytes) -> None:
        """This have is common."""
        raise NotImplementedError

    def next(self) -> bytes | None:
        """The next have."""
        raise NotImplementedError

    def __next__(self) -> bytes | None:
        return self.next()

    def handle_done(self, done_required: bool, done_received: bool) -> bool:
        """Sends the last answer; is the pack due now?"""
        raise NotImplementedError


class _Impl(AckGraphWalkerImpl):
    """What the three share: what was common, and when a pack is due."""

    def __init__(self, walker: Any) -> None:
        self.walker = walker
        self._common: list[bytes] = []

    def _due(self, done_required: bool, done_received: bool) -> bool:
        """``done`` was said, or need not be and something was common."""
        return done_received or (not done_required and bool(self._common))

    def handle_done(self, done_required: bool, done_received: bool) -> bool:
        if not self._due(done_required, done_received):
            return False
        if self._common:
            self.walker.send_ack(self._common[-1])
        else:
            self.walker.send_nak()
        return True


class SingleAckGraphWalkerImpl(_Impl):
    """Without multi_ack: the first common have is acknowledged, no other."""

    def ack(self, have_ref: bytes) -> None:
        if not self._common:
            self._common.append(have_ref)
            self.walker.send_ack(have_ref)

    def next(self) -> bytes | None:
        command, value = self.walker.read_proto_line(_LINES)
        if command == COMMAND_HAVE:
            return bytes(value)
        self.walker.notify_done()
        return None

    def handle_done(self, done_required: bool, done_received: bool) -> bool:
        if not self._common:
            self.walker.send_nak()
        return self._due(done_required, done_received)


class MultiAckGraphWalkerImpl(_Impl):
    """multi_ack: every common have, and every have at all once there are enough."""

    def __init__(self, walker: Any) -> None:
        super().__init__(walker)
        self._enough = False

    def ack(self, have_ref: bytes) -> None:
        self._common.append(have_ref)
        if not self._enough:
            self.walker.send_ack(have_ref, b"continue")
            self._enough = bool(self.walker.all_wants_satisfied(set(self._common)))

    def next(self) -> bytes | None:
        while True:
            command, value = self.walker.read_proto_line(_LINES)
            if command == COMMAND_HAVE:
                if self._enough:
                    self.walker.send_ack(value, b"continue")
                return bytes(value)
            if command == COMMAND_DONE:
                self.walker.notify_done()
                return None
            self.walker.send_nak()  # a flush: the client waits, and has more to say


class MultiAckDetailedGraphWalkerImpl(_Impl):
    """multi_ack_detailed: every common have; ``ready`` at the end of a round that was enough."""

    def ack(self, have_ref: bytes) -> None:
        self._common.append(have_ref)
        self.walker.send_ack(have_ref, b"common")

    def next(self) -> bytes | None:
        while True:
            command, value = self.walker.read_proto_line(_LINES)
            if command == COMMAND_HAVE:
                return bytes(value)
            if command == COMMAND_DONE:
                self.walker.notify_done()
                return None
            if self._common and self.walker.all_wants_satisfied(set(self._common)):
                self.walker.send_ack(self._common[-1], b"ready")
            self.walker.send_nak()
            if self.walker.stateless_rpc:
                return None  # the request ends here, whether or not more is to be said
