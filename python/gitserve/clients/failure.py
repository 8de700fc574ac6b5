"""What a server's words of refusal mean for the caller.

In: the text behind ``ERR``, of band 3, of a process's standard error, or an HTTP status. Out: an
exception. It must not know which dialogue it ended.
"""

from __future__ import annotations

import re
from typing import Final

from gitserve.errors import GitServeError, NoRepository, PeerError

WORDS_MAX: Final = 4000
"""Bytes of a server's explanation that an exception repeats."""

_NO_REPOSITORY: Final = re.compile(
    rb"access denied or repository not exported|does not appear to be a git repository"
    rb"|not a git repository|repository .{0,1000}not found|no such repository"
    rb"|unable to chdir or not a git archive|no git repository was found",
    re.IGNORECASE | re.DOTALL,
)
"""How git's servers, and the large sites, say that there is nothing at this path."""


class RemoteError(PeerError):
    """The server refused, or failed, and said why."""


class PushError(RemoteError):
    """The server could not take what was pushed; no ref was moved."""


def remote_error(words: bytes) -> GitServeError:
    """The exception for what the server said."""
    text = _readable(words[:WORDS_MAX])
    if _NO_REPOSITORY.search(words[:WORDS_MAX]):
        return NoRepository(text)
    return RemoteError(text or "the server refused without saying why", wire=None)


def _readable(words: bytes) -> str:
    text = words.decode("utf-8", "replace")
    lines = ["".join(c if c.isprintable() else "?" for c in line) for line in text.splitlines()]
    return "\n".join(line for line in lines if line.strip())
