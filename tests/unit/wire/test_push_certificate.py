"""Signed pushes as lines."""

from __future__ import annotations

import pytest
from gitserve.wire import push_certificate, receive_commands
from gitserve.wire.malformed import Malformed
from gitserve.wire.receive_commands import Command

OLD, NEW = b"1" * 40, b"2" * 40
HEAD = [
    b"certificate version 0.1\n",
    b"pusher A U Thor <author@example.com> 1700000000 +0000\n",
    b"pushee git://example.com/project\n",
    b"nonce 17-abc\n",
    b"push-option one\n",
    b"push-option two words\n",
    b"\n",
]
COMMANDS = [b"%b %b refs/heads/main\n" % (OLD, NEW)]
SIGNATURE = [b"-----BEGIN SSH SIGNATURE-----\n", b"QUJD\n", b"-----END SSH SIGNATURE-----\n"]


def test_its_parts() -> None:
    certificate = push_certificate.parse(HEAD + COMMANDS + SIGNATURE)
    assert certificate.payload == b"".join(HEAD + COMMANDS)
    assert certificate.signature == b"".join(SIGNATURE)
    assert certificate.text == b"".join(HEAD + COMMANDS + SIGNATURE)
    assert certificate.nonce == b"17-abc"
    assert certificate.push_options == (b"one", b"two words")
    assert certificate.command_lines == (COMMANDS[0][:-1],)


def test_its_commands_are_the_push_s() -> None:
    lines = [b"push-cert\0report-status atomic\n", *HEAD, *COMMANDS, *SIGNATURE]
    lines.append(b"push-cert-end\n")
    request = receive_commands.parse(lines, 40)
    assert request.commands == (Command(b"refs/heads/main", OLD, NEW),)
    assert set(request.capabilities) == {b"report-status", b"atomic"}
    assert request.certificate is not None


@pytest.mark.parametrize(
    "lines",
    [
        [*HEAD, *COMMANDS, *SIGNATURE],  # no end
        [*HEAD, COMMANDS[0][:-1], b"push-cert-end\n"],  # a line without its line feed
        [*HEAD, b"not a command\n", b"push-cert-end\n"],
        [*HEAD, *COMMANDS, *SIGNATURE, b"push-cert-end\n", *COMMANDS],  # one that is not signed
    ],
)
def test_what_is_none(lines: list[bytes]) -> None:
    with pytest.raises(Malformed):
        receive_commands.parse([b"push-cert\0report-status\n", *lines], 40)


def test_what_has_no_signature() -> None:
    assert push_certificate.parse([*HEAD, *COMMANDS]).signature == b""
