"""Requests of one dialogue over files, made by hand."""

from __future__ import annotations

import contextlib
import hashlib
import io
from typing import Any

from gitserve.errors import GitProtocolError
from gitserve.protocol import Protocol, pkt_line
from gitserve.server import DictBackend, UploadPackHandler

ZERO = b"0" * 40
EMPTY_PACK = b"PACK" + bytes((0, 0, 0, 2, 0, 0, 0, 0))
EMPTY_PACK += hashlib.sha1(EMPTY_PACK).digest()


def pkts(*lines: bytes | None) -> bytes:
    return b"".join(pkt_line(line) for line in lines)


def unpkts(data: bytes) -> list[bytes | None]:
    proto = Protocol(io.BytesIO(data).read, lambda _: None)
    lines: list[bytes | None] = []
    while not proto.eof():
        lines.append(proto.read_pkt_line())
    return lines


def talk(
    handler_class: Any, repo: Any, said: bytes, *, stateless: bool = True, args: Any = ("/",),
    **options: Any,
) -> bytes:  # fmt: skip
    """One request over files; what the handler raises is part of its behaviour, not of ours."""
    out = io.BytesIO()
    proto = Protocol(io.BytesIO(said).read, out.write)
    handler = handler_class(DictBackend({"/": repo}), args, proto, stateless, **options)
    with contextlib.suppress(GitProtocolError):
        handler.handle()
    return out.getvalue()


def clone_bytes(
    repo: Any, want: bytes, capabilities: bytes, *more: bytes | None, args: Any = ()
) -> bytes:
    said = pkts(b"want %b %b" % (want, capabilities), None, *more, b"done")
    return talk(UploadPackHandler, repo, said)
