"""dulwich's exceptions for a machine without dulwich: the same names, arguments and attributes.

In and out: nothing. :mod:`.exceptions` uses these when dulwich cannot be imported.
"""

from __future__ import annotations

from collections.abc import Sequence


def _hex(checksum: bytes | str) -> str:
    if isinstance(checksum, str):
        return checksum
    return checksum.hex() if len(checksum) in (20, 32) else checksum.decode("ascii")


class ChecksumMismatch(Exception):
    """Stored and computed checksum differ."""

    def __init__(self, expected: bytes | str, got: bytes | str, extra: str | None = None) -> None:
        self.expected = _hex(expected)
        self.got = _hex(got)
        self.extra = extra
        text = f"Checksum mismatch: Expected {self.expected}, got {self.got}"
        super().__init__(text if extra is None else f"{text}; {extra}")


class WrongObjectException(Exception):
    """An object is of another kind than ``type_name``."""

    type_name: str

    def __init__(self, sha: bytes, *_args: object, **_kwargs: object) -> None:
        super().__init__(f"{sha.decode('ascii')} is not a {self.type_name}")


class NotCommitError(WrongObjectException):
    """Not a commit."""

    type_name = "commit"


class NotTreeError(WrongObjectException):
    """Not a tree."""

    type_name = "tree"


class NotTagError(WrongObjectException):
    """Not a tag."""

    type_name = "tag"


class NotBlobError(WrongObjectException):
    """Not a blob."""

    type_name = "blob"


class MissingCommitError(Exception):
    """A commit is not in the repository."""

    def __init__(self, sha: bytes, *_args: object, **_kwargs: object) -> None:
        self.sha = sha
        super().__init__(f"{sha.decode('ascii')} is not in the revision store")


class ObjectMissing(Exception):
    """An object is not in a pack."""

    def __init__(self, sha: bytes, *_args: object, **_kwargs: object) -> None:
        super().__init__(f"{sha.decode('ascii')} is not in the pack")


class ApplyDeltaError(Exception):
    """A delta does not fit its base."""


class NotGitRepository(Exception):
    """There is no repository here."""


class GitProtocolError(Exception):
    """The other side broke the protocol. Equal when the arguments are."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GitProtocolError) and self.args == other.args

    __hash__ = Exception.__hash__


class SendPackError(GitProtocolError):
    """A push failed."""


class HangupException(GitProtocolError):
    """The other side is gone; ``stderr_lines`` is what it said before."""

    def __init__(self, stderr_lines: Sequence[bytes] | None = None) -> None:
        if stderr_lines:
            text = "\n".join(line.decode("utf-8", "surrogateescape") for line in stderr_lines)
        else:
            text = "The remote server unexpectedly closed the connection."
        super().__init__(text)
        self.stderr_lines = stderr_lines

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HangupException) and self.stderr_lines == other.stderr_lines

    __hash__ = Exception.__hash__


class UnexpectedCommandError(GitProtocolError):
    """A line of another kind than may come here; None: a flush."""

    def __init__(self, command: str | None) -> None:
        shown = "flush-pkt" if command is None else f"command {command}"
        super().__init__(f"Protocol got unexpected {shown}")


class FileFormatException(Exception):
    """A file of git's is not as it should be."""


class PackedRefsException(FileFormatException):
    """packed-refs is not as it should be."""


class ObjectFormatException(FileFormatException):
    """An object is not as it should be."""


class NoIndexPresent(Exception):
    """There is no index."""


class CommitError(Exception):
    """A commit could not be made."""


class RefFormatError(Exception):
    """No name for a ref."""


class HookError(Exception):
    """A hook failed, or refused."""


class WorkingTreeModifiedError(Exception):
    """The working tree has changes that would be lost."""
