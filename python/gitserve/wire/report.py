"""What became of a push: of its pack, and of each of its commands.

In: results. Out: the pkt-lines of report-status or report-status-v2; and back. It must not know why
a command failed, nor in which band the report travels.

Git's document: gitprotocol-pack, "Report Status"; gitprotocol-capabilities, "report-status-v2".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitserve.record import Record
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.pktline import FLUSH_PKT, MAX_PAYLOAD, chomp, encode


class CommandResult(Record):
    """One command's fate. ``error`` is what follows ``ng <ref> ``; ``None`` means ``ok``."""

    ref: bytes
    error: bytes | None = None
    options: tuple[bytes, ...] = ()
    """``option ...`` lines of report-status-v2, without the word ``option``."""


class Report(Record):
    """A whole report."""

    unpack_error: bytes | None
    """``None`` when the pack was taken, or none was needed."""
    results: tuple[CommandResult, ...] = ()


def format(unpack_error: bytes | None, results: Sequence[CommandResult], *, v2: bool) -> bytes:
    """The pkt-lines, flush included. Reasons are cut to one line, and to what a packet holds."""
    packets = [encode(_line(b"unpack ", unpack_error or b"ok"))]
    said: set[bytes] = set()
    for result in results:
        if result.error is None:
            if not v2 and result.ref in said:
                continue  # One command that became several refs, which only options can tell.
            said.add(result.ref)
            packets.append(encode(_line(b"ok ", result.ref)))
            if v2:
                packets += [encode(_line(b"option ", option)) for option in result.options]
        else:
            packets.append(encode(_line(b"ng %b " % result.ref, result.error)))
    packets.append(FLUSH_PKT)
    return b"".join(packets)


def parse(lines: Iterable[bytes]) -> Report:
    """The lines without the flush. Raises :class:`Malformed`."""
    unpack: bytes | None = None
    results: list[CommandResult] = []
    for raw in lines:
        word, _, rest = chomp(raw).partition(b" ")
        if unpack is None:
            if word != b"unpack" or not rest:
                raise Malformed(f"expected unpack status, got '{quoted(raw)}'")
            unpack = rest
        elif word == b"ok" and rest:
            results.append(CommandResult(rest))
        elif word == b"ng" and rest:
            ref, _, error = rest.partition(b" ")
            results.append(CommandResult(ref, error))
        elif word == b"option" and results and results[-1].error is None:
            last = results[-1]
            results[-1] = CommandResult(last.ref, None, (*last.options, rest))
        else:
            raise Malformed(f"expected ref status, got '{quoted(raw)}'")
    if unpack is None:
        raise Malformed("expected unpack status, got nothing")
    return Report(None if unpack == b"ok" else unpack, tuple(results))


def _line(head: bytes, text: bytes) -> bytes:
    # A ref name may fill a packet of its own; the reason behind it takes what room is left.
    return b"%b%b\n" % (head, text.replace(b"\n", b" ")[: MAX_PAYLOAD - 1 - len(head)])
