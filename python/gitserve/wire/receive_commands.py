"""What a push asks for: ref updates, the client's shallow commits, then its push options.

In: the lines of one section. Out: :class:`ReceiveRequest`. It must not know which refs exist, nor
which updates are allowed.

Git's document: gitprotocol-pack, "Reference Update Request and Packfile Transfer".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gitserve.record import EMPTY, Record
from gitserve.wire import push_certificate
from gitserve.wire.capabilities import format_capabilities, parse_capabilities
from gitserve.wire.malformed import Malformed, quoted
from gitserve.wire.object_id import is_object_id
from gitserve.wire.pktline import FLUSH_PKT, chomp, encode
from gitserve.wire.push_certificate import PushCertificate


class Command(Record):
    """One ref update. Ids are hexadecimal digits; zeros stand for "does not exist"."""

    ref: bytes
    old: bytes
    new: bytes

    @property
    def is_create(self) -> bool:
        """The ref did not exist for the client."""
        return not self.old.strip(b"0")

    @property
    def is_delete(self) -> bool:
        """The ref shall go; such a command needs no object."""
        return not self.new.strip(b"0")


class ReceiveRequest(Record):
    """A push, up to its pack."""

    commands: tuple[Command, ...] = ()
    """In the client's order; names may repeat."""
    capabilities: Mapping[bytes, bytes | None] = EMPTY
    shallow: tuple[bytes, ...] = ()
    """Commits whose parents the client lacks."""
    certificate: PushCertificate | None = None
    """Where the commands stood, if the push is signed."""


def capabilities_of(lines: list[bytes]) -> dict[bytes, bytes | None]:
    """Those of the first line that has any: how errors travel depends on them."""
    for line in lines:
        _, nul, listed = line.partition(b"\0")
        if nul:
            return parse_capabilities(listed)
    return {}


def parse(lines: list[bytes], hex_length: int) -> ReceiveRequest:
    """Raises :class:`Malformed`."""
    capabilities = capabilities_of(lines)
    commands: list[Command] = []
    shallow: list[bytes] = []
    certificate: PushCertificate | None = None
    rest = iter(lines)
    for raw in rest:
        line = chomp(raw.partition(b"\0")[0])
        if line[:8] == b"shallow ":
            if not is_object_id(line[8:], hex_length):
                raise Malformed(f"protocol error: expected shallow sha, got '{quoted(line[8:])}'")
            shallow.append(line[8:].lower())
            continue
        if line == push_certificate.BEGIN and certificate is None:
            certificate = push_certificate.parse(_up_to_end(rest))
            commands += [_command(line, hex_length) for line in certificate.command_lines]
            continue
        commands.append(_command(line, hex_length))
    if certificate is not None and len(commands) != len(certificate.command_lines):
        raise Malformed("protocol error: got both push certificate and unsigned commands")
    return ReceiveRequest(tuple(commands), capabilities, tuple(dict.fromkeys(shallow)), certificate)


def _up_to_end(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if chomp(line) == push_certificate.END:
            return
        yield line
    raise Malformed("protocol error: expected push-cert-end")


def _command(line: bytes, hex_length: int) -> Command:
    end_of_old = hex_length
    start_of_new = hex_length + 1
    end_of_new = start_of_new + hex_length
    old = line[:end_of_old]
    new = line[start_of_new:end_of_new]
    ref = line[end_of_new + 1 :]
    if (
        not ref
        or line[end_of_old:start_of_new] != b" "
        or line[end_of_new : end_of_new + 1] != b" "
        or not is_object_id(old, hex_length)
        or not is_object_id(new, hex_length)
    ):
        raise Malformed(f"protocol error: expected old/new/ref, got '{quoted(line)}'")
    return Command(ref, old.lower(), new.lower())


def format(request: ReceiveRequest) -> bytes:
    """The pkt-lines, flush included."""
    packets = [encode(b"shallow %b\n" % commit_id) for commit_id in request.shallow]
    behind = b"\0" + format_capabilities(request.capabilities.items())
    for command in request.commands:
        packets.append(encode(b"%b %b %b%b" % (command.old, command.new, command.ref, behind)))
        behind = b""
    packets.append(FLUSH_PKT)
    return b"".join(packets)


def parse_push_options(lines: Iterable[bytes]) -> tuple[bytes, ...]:
    """The section behind the commands, when both sides have ``push-options``."""
    return tuple([chomp(line) for line in lines])
