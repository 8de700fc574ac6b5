"""The four roots of what can go wrong, and what each means for whoever reads it.

Rust's errors arrive as these classes; the text of an exception is for the server's log. What a
client is told is decided in :mod:`gitserve.session`, from the class and :attr:`GitServeError.wire`.
"""

from __future__ import annotations


class GitServeError(Exception):
    """Root of everything gitserve raises on purpose."""

    wire: bytes | None = None
    """What the client may read; ``None`` for nothing but a general word."""

    def __init__(self, message: str = "", *, wire: bytes | None = None) -> None:
        super().__init__(message)
        if wire is not None:
            self.wire = wire


class PeerError(GitServeError):
    """The peer's fault: malformed packets, impossible requests, corrupt packs."""


class HangupError(PeerError):
    """The peer went away in the middle of something."""

    GONE = "the remote end hung up unexpectedly"


class PeerTimeout(PeerError):
    """The peer said, or took, nothing for too long."""


class PackError(PeerError):
    """The pack that the peer sent is broken, hostile or beyond a limit."""


class RepositoryError(GitServeError):
    """The repository's fault: a missing, corrupt or unreadable file. Names the file."""


class MissingObject(RepositoryError, KeyError):
    """An object that must be there is not."""

    def __str__(self) -> str:  # KeyError would quote it
        return Exception.__str__(self)


class NotGitRepository(RepositoryError):
    """There is no repository at this path."""


class Refused(GitServeError):
    """Policy says no: not exported, not enabled, not allowed, over a limit."""


class Cancelled(GitServeError):
    """The request was given up, because its client went away or the server stops."""


class InternalError(GitServeError):
    """Our bug: a panic of the core, an invariant that does not hold."""
