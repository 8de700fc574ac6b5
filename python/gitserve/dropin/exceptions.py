"""dulwich's exceptions: its own classes where it is installed, else ours of the same names.

In: nothing. Out: the classes that :mod:`gitserve.errors` offers under dulwich's names. An
``except`` clause looks at real base classes only, so making it work both ways has two halves:

- the public names *are* dulwich's classes, so that catching ours catches theirs;
- the classes that gitserve raises get dulwich's as a second base when this module is first
  imported, so that catching theirs catches ours.

Importing dulwich costs what a whole request may. So :mod:`gitserve.errors` imports this only when
one of these names is asked of it, which the modules with dulwich's names do and the serving path
never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitserve import errors
from gitserve.dropin import ownerrors
from gitserve.dropin.ownerrors import (
    ApplyDeltaError,
    ChecksumMismatch,
    CommitError,
    FileFormatException,
    GitProtocolError,
    HangupException,
    HookError,
    MissingCommitError,
    NoIndexPresent,
    NotBlobError,
    NotCommitError,
    NotGitRepository,
    NotTagError,
    NotTreeError,
    ObjectFormatException,
    ObjectMissing,
    PackedRefsException,
    RefFormatError,
    SendPackError,
    UnexpectedCommandError,
    WorkingTreeModifiedError,
    WrongObjectException,
)

__all__ = [
    "ApplyDeltaError",
    "ChecksumMismatch",
    "CommitError",
    "FileFormatException",
    "GitProtocolError",
    "HangupException",
    "HookError",
    "MissingCommitError",
    "NoIndexPresent",
    "NotBlobError",
    "NotCommitError",
    "NotGitRepository",
    "NotTagError",
    "NotTreeError",
    "ObjectFormatException",
    "ObjectMissing",
    "PackedRefsException",
    "RefFormatError",
    "SendPackError",
    "UnexpectedCommandError",
    "WorkingTreeModifiedError",
    "WrongObjectException",
]


def _pick() -> None:
    try:
        from dulwich import errors as theirs
    except ImportError:
        return
    for name in __all__:
        globals()[name] = getattr(theirs, name, getattr(ownerrors, name))


def _adopt(ours: type[errors.GitServeError], theirs: type[Exception]) -> None:
    """Makes ``theirs`` a base of ``ours``, behind the ones it has."""
    if not issubclass(ours, theirs):
        ours.__bases__ = (*ours.__bases__, theirs)


if not TYPE_CHECKING:
    _pick()
_adopt(errors.PeerError, GitProtocolError)
_adopt(errors.HangupError, HangupException)
_adopt(errors.NoRepository, NotGitRepository)
