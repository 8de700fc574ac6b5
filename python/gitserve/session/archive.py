"""The dialogue of upload-archive.

In: one section of arguments. Out: effects. ACK, the archive in the first band, what a person reads
in the second; NACK when the arguments are no arguments. It must not know what they mean.

Git's document: git-upload-archive(1).
"""

from __future__ import annotations

from gitserve.errors import GitServeError
from gitserve.session.effects import Dialogue, Flush, Send, SendArchive
from gitserve.session.failure import client_text
from gitserve.session.reading import expect_flush, read_section
from gitserve.wire import archive_request, sideband
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import FLUSH_PKT, encode
from gitserve.wire.sideband import Band

MAX_ARGUMENTS = 64
"""git's own limit."""

MAX_BYTES = 1 << 20
"""Of all arguments together."""

_DIED = b"git upload-archive: archiver died with error\n"


def archive() -> Dialogue:
    """One archive."""
    try:
        section = yield from read_section(MAX_ARGUMENTS + 1, MAX_BYTES)
        if section is None:
            return
        arguments = archive_request.parse(expect_flush(section, "arguments"))
        if len(arguments) > MAX_ARGUMENTS:
            raise Malformed(f"Too many options (>{MAX_ARGUMENTS - 1})")
    except GitServeError as error:
        yield Send(encode(b"NACK %b\n" % client_text(error)) + FLUSH_PKT)
        yield Flush()
        raise
    yield Send(encode(archive_request.ACK + b"\n") + FLUSH_PKT)
    yield Flush()
    try:
        yield SendArchive(arguments)
    except GitServeError as error:
        said = sideband.encode(Band.PROGRESS, b"fatal: %b\n" % client_text(error))
        yield Send(said + sideband.encode(Band.ERROR, _DIED) + FLUSH_PKT)
        yield Flush()
        raise
    yield Send(FLUSH_PKT)
    yield Flush()
