"""What a server and its proc-receive hook say to each other.

In: lines of the hook. Out: :class:`Greeting` and :class:`Verdict` values; the other way round the
packets that the hook reads. It must not know which commands were handed to the hook.

Git's document: githooks, "proc-receive".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitserve.record import Record
from gitserve.wire.malformed import quoted
from gitserve.wire.pktline import FLUSH_PKT, chomp, encode
from gitserve.wire.receive_commands import Command


class Greeting(Record):
    """The hook's version and what it has agreed to."""

    version: bytes
    features: tuple[bytes, ...]


class Verdict(Record):
    """What the hook did with a command, or with one of the refs that it made of it."""

    ref: bytes
    error: bytes | None
    options: tuple[bytes, ...]
    """Without the word ``option``."""


def format_greeting(features: Sequence[bytes]) -> bytes:
    """The server's first packets: its version, and what it can do."""
    return encode(b"version=1\0%b\n" % b" ".join(features)) + FLUSH_PKT


def parse_greeting(lines: Iterable[bytes]) -> Greeting:
    """Of the hook's first section; a hook that names no version is of version 0."""
    version, features = b"0", b""
    for line in lines:
        said, _, listed = chomp(line).partition(b"\0")
        if said.startswith(b"version="):
            version, features = said[len(b"version=") :], listed
    return Greeting(version, tuple(features.split()))


def format_commands(commands: Iterable[Command]) -> bytes:
    """Those that the hook shall carry out."""
    return b"".join([encode(b"%b %b %b" % (c.old, c.new, c.ref)) for c in commands]) + FLUSH_PKT


def format_push_options(options: Iterable[bytes]) -> bytes:
    """The section behind the commands, when both have ``push-options``."""
    return b"".join([encode(option) for option in options]) + FLUSH_PKT


def parse_report(lines: Iterable[bytes]) -> tuple[list[Verdict], list[bytes]]:
    """The hook's verdicts in its order, and complaints about the lines that are none."""
    verdicts: list[Verdict] = []
    complaints: list[bytes] = []
    strayed = False
    expects_option = False
    for raw in lines:
        line = chomp(raw)
        word, space, rest = line.partition(b" ")
        if not space or not rest:
            complaints.append(b'proc-receive reported incomplete status line: "%b"' % _shown(line))
        elif word == b"option":
            if expects_option:
                last = verdicts[-1]
                verdicts[-1] = last.but(options=(*last.options, rest))
            elif not strayed:
                strayed = True
                complaints.append(
                    b'proc-receive reported "option" without a matching "ok/ng" directive'
                )
        else:
            ref, _, reason = rest.partition(b" ")
            expects_option = word in (b"ok", b"ng")
            if word == b"ok":
                verdicts.append(Verdict(ref, None, ()))
            elif word == b"ng":
                verdicts.append(Verdict(ref, reason or b"failed", ()))
            else:
                complaints.append(
                    b'proc-receive reported bad status "%b" on ref "%b"'
                    % (_shown(word), _shown(ref))
                )
    return verdicts, complaints


def _shown(word: bytes) -> bytes:
    return quoted(word).encode("utf-8", "replace")
