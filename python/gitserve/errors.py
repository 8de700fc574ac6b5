"""The four roots of what can go wrong, and what each means for whoever reads it.

Rust's errors arrive as these classes; the text of an exception is for the server's log. What a
client is told is decided in :mod:`gitserve.session`, from the class and :attr:`GitServeError.wire`.

dulwich's exceptions can be had from here too, under their names; see
:mod:`gitserve.dropin.exceptions`, which is loaded when the first of them is asked for.
"""

from __future__ import annotations

from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from gitserve.dropin.exceptions import ApplyDeltaError as ApplyDeltaError
    from gitserve.dropin.exceptions import ChecksumMismatch as ChecksumMismatch
    from gitserve.dropin.exceptions import CommitError as CommitError
    from gitserve.dropin.exceptions import FileFormatException as FileFormatException
    from gitserve.dropin.exceptions import GitProtocolError as GitProtocolError
    from gitserve.dropin.exceptions import HangupException as HangupException
    from gitserve.dropin.exceptions import HookError as HookError
    from gitserve.dropin.exceptions import MissingCommitError as MissingCommitError
    from gitserve.dropin.exceptions import NoIndexPresent as NoIndexPresent
    from gitserve.dropin.exceptions import NotBlobError as NotBlobError
    from gitserve.dropin.exceptions import NotCommitError as NotCommitError
    from gitserve.dropin.exceptions import NotGitRepository as NotGitRepository
    from gitserve.dropin.exceptions import NotTagError as NotTagError
    from gitserve.dropin.exceptions import NotTreeError as NotTreeError
    from gitserve.dropin.exceptions import ObjectFormatException as ObjectFormatException
    from gitserve.dropin.exceptions import ObjectMissing as ObjectMissing
    from gitserve.dropin.exceptions import PackedRefsException as PackedRefsException
    from gitserve.dropin.exceptions import RefFormatError as RefFormatError
    from gitserve.dropin.exceptions import SendPackError as SendPackError
    from gitserve.dropin.exceptions import UnexpectedCommandError as UnexpectedCommandError
    from gitserve.dropin.exceptions import WorkingTreeModifiedError as WorkingTreeModifiedError
    from gitserve.dropin.exceptions import WrongObjectException as WrongObjectException
else:

    def __getattr__(name: str) -> type[Exception]:
        if not name.startswith("_"):
            from gitserve.dropin import exceptions

            if name in exceptions.__all__:
                return getattr(exceptions, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class GitServeError(Exception):
    """Root of everything gitserve raises on purpose."""

    wire: bytes | None = None
    """What the client may read; ``None`` for nothing but a general word."""

    # dulwich's classes, which may become second bases, compare by their arguments
    __eq__ = Exception.__eq__
    __hash__ = Exception.__hash__

    def __init__(self, message: str = "", *, wire: bytes | None = None) -> None:
        Exception.__init__(self, message)
        if wire is not None:
            self.wire = wire


class PeerError(GitServeError):
    """The peer's fault: malformed packets, impossible requests, corrupt packs."""


class HangupError(PeerError):
    """The peer went away in the middle of something."""

    GONE = "the remote end hung up unexpectedly"

    stderr_lines: tuple[bytes, ...] | None = None
    """dulwich's attribute: what the peer said before; a server's peer says nothing."""


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


class NoRepository(RepositoryError):
    """There is no repository at this path; a ``NotGitRepository`` for users of dulwich."""


class Refused(GitServeError):
    """Policy says no: not exported, not enabled, not allowed, over a limit."""


class Busy(Refused):
    """Too many large requests wait already; worth another try later."""

    wire = b"the server is busy; please try again later"


class Cancelled(GitServeError):
    """The request was given up, because its client went away or the server stops."""


class InternalError(GitServeError):
    """Our bug: a panic of the core, an invariant that does not hold."""
