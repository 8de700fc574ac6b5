"""A commit, taken apart for people to read.

In: its bytes. Out: its fields and its message. Git's document: git-log(1), "Pretty formats".
"""

from __future__ import annotations

from gitserve.archiving.encodings import in_utf8, is_as_stored
from gitserve.record import Record

_SIGNATURES = (b"gpgsig", b"gpgsig-sha256")
"""Of SHA-1 and of SHA-256 repositories."""


class Person(Record):
    """Who, and when."""

    name: bytes = b""
    mail: bytes = b""
    stamp: bytes = b""
    zone: bytes = b""


class Commit(Record):
    """One commit."""

    object_id: bytes
    tree: bytes = b""
    parents: tuple[bytes, ...] = ()
    author: Person = Person()
    committer: Person = Person()
    encoding: bytes = b""
    message: bytes = b""
    content: bytes = b""
    """All of it."""

    @property
    def subject(self) -> bytes:
        """The first paragraph, on one line."""
        return b" ".join(map(bytes.rstrip, _split(_without_empty_lines(self.message))[0]))

    @property
    def body(self) -> bytes:
        """What comes after the subject and the empty lines behind it."""
        return _split(_without_empty_lines(self.message))[1]


def parsed(object_id: bytes, content: bytes) -> Commit:
    """Lenient: what is not there is empty. Names and message are in UTF-8 where that can be."""
    found, parents, message = _fields(content)
    encoding = found.get(b"encoding", b"")
    if not is_as_stored(encoding):
        found, parents, message = _fields(in_utf8(content, encoding) or content)
    return Commit(
        object_id,
        found.get(b"tree", b""),
        tuple(parents),
        _person(found.get(b"author", b"")),
        _person(found.get(b"committer", b"")),
        encoding,
        message,
        content,
    )


def _fields(content: bytes) -> tuple[dict[bytes, bytes], list[bytes], bytes]:
    head, _, message = content.partition(b"\n\n")
    found: dict[bytes, bytes] = {}
    parents: list[bytes] = []
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"parent":
            parents.append(value)
        elif key:
            found.setdefault(key, value)
    return found, parents, message


def taken_apart(commit: Commit) -> tuple[bytes, bytes]:
    """What was signed, and the signature; the latter empty where there is none."""
    ours = _SIGNATURES[len(commit.object_id) == 64]
    head, gap, message = commit.content.partition(b"\n\n")
    kept: list[bytes] = []
    signature: list[bytes] = []
    into = kept
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key in _SIGNATURES:
            into = signature if key == ours else []
            into.append(value)
        elif not key and into is not kept:
            into.append(value)
        else:
            into = kept
            kept.append(line)
    text = b"".join([line + b"\n" for line in signature])
    return b"\n".join(kept) + gap + message, text


def sanitized(message: bytes) -> bytes:
    """The first line as a part of a file's name."""
    line = _without_empty_lines(message).partition(b"\n")[0]
    made = bytearray()
    gap = False
    for byte in line:
        char = bytes((byte,))
        if char.isalnum() or char in b"._":
            if gap and made:
                made += b"-"
            gap = False
            if char != b"." or not made.endswith(b"."):
                made += char
        else:
            gap = True
    return bytes(made.rstrip(b".-"))


def _person(line: bytes) -> Person:
    name, _, rest = line.partition(b"<")
    mail, _, when = rest.partition(b">")
    stamp, _, zone = when.strip().partition(b" ")
    return Person(name.strip(), mail.strip(), stamp, zone)


def _without_empty_lines(message: bytes) -> bytes:
    while message:
        line, newline, rest = message.partition(b"\n")
        if line.strip() or not newline:
            break
        message = rest
    return message


def _split(message: bytes) -> tuple[list[bytes], bytes]:
    lines: list[bytes] = []
    while message:
        line, _, rest = message.partition(b"\n")
        if not line.strip():
            break
        lines.append(line)
        message = rest
    return lines, _without_empty_lines(message)
