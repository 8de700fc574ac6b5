"""The error of every parser: the peer's bytes are not the message they should be.

The text quotes nothing but what the peer itself sent, so that a session may show it.
"""

from __future__ import annotations

from gitserve.errors import PeerError

QUOTED_MAX = 100
"""Bytes of the peer's own that an error repeats: enough to know them again, no way to echo much."""


class Malformed(PeerError):
    """The message breaks the protocol; its text is fit for the peer that sent it."""


def quoted(data: bytes) -> str:
    """The peer's bytes for an error text: cut to a line, without control characters."""
    if len(data) > QUOTED_MAX:
        data = data[:QUOTED_MAX] + b"..."
    text = data.decode("utf-8", "replace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "?" for c in text.rstrip("\n"))
