"""The same bytes to git's services and to ours, and what each answered, made comparable.

In: a repository, settings, and all that a client says. Out: an :class:`Answer`: lines and markers
as they came, the pack apart, progress left out. What must be equal is equal then; what may differ
(the order of shallow lines, a pack's bytes, words for people) is not in it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gitserve.errors import GitServeError
from gitserve.repository.locate import locate
from gitserve.repository.native import NativeRepository
from gitserve.service.requests import Manner, ServiceOptions, serve_receive, serve_upload
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally

from tests.support.gits import Git

FLUSH = b"0000"
DELIM = b"0001"
GIT_SECONDS = 60


def pkt(line: bytes) -> bytes:
    """One pkt-line."""
    return b"%04x" % (len(line) + 4) + line


def pkts(items: Sequence[bytes | object | None]) -> bytes:
    """Lines; ``None`` for a flush, ``...`` for a delimiter."""
    return b"".join(
        FLUSH if item is None else DELIM if item is ... else pkt(item)  # type: ignore[arg-type]
        for item in items
    )


@dataclass(slots=True)
class Answer:
    """What one side said."""

    items: list[bytes | object | None] = field(default_factory=list)
    """Lines, flushes (``None``), delimiters (``...``), and each pack's place (``"pack"``)."""
    packs: list[bytes] = field(default_factory=list)
    remarks: bytes = b""
    """The second band, with what is said for people."""
    failed: str = ""
    """Why it ended badly: git's standard error, our exception."""

    @property
    def told(self) -> bytes:
        """The reason that the client could read, which is the last thing it hears."""
        last = self.items[-1] if self.items else b""
        if isinstance(last, bytes) and last[:4] in (b"ERR ", b"BAD "):
            return last
        return b""


def settings_environ(settings: Mapping[str, str]) -> dict[str, str]:
    """Configuration through git's environment, which both sides read."""
    environ = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        environ[f"GIT_CONFIG_KEY_{number}"] = key
        environ[f"GIT_CONFIG_VALUE_{number}"] = value
    return environ


@dataclass(frozen=True, slots=True)
class Asked:
    """One conversation to be had twice."""

    service: str
    repository: Path
    said: bytes
    version: int = 0
    stateless: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    cuts: int = 1 << 16
    """Bytes that our side gets at a time."""

    @property
    def environ(self) -> dict[str, str]:
        settings = settings_environ(dict(self.settings))
        return settings | ({"GIT_PROTOCOL": f"version={self.version}"} if self.version else {})


def ask_git(git: Git, asked: Asked) -> Answer:
    """git's answer."""
    words = [git.path, asked.service, *(["--stateless-rpc"] if asked.stateless else [])]
    done = subprocess.run(
        [*words, str(asked.repository)],
        input=asked.said,
        capture_output=True,
        timeout=GIT_SECONDS,
        check=False,
        env={**os.environ, **asked.environ},
    )
    answer = read_answer(done.stdout)
    if done.returncode:
        answer.failed = done.stderr.decode(errors="replace") or f"status {done.returncode}"
    return answer


class _Fed:
    """A source of so many bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self.data = data
        self.size = size
        self.at = 0

    def read(self, size: int, /) -> bytes:
        piece = self.data[self.at : self.at + min(size, self.size)]
        self.at += len(piece)
        return piece


class _Kept:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self.pieces.append(bytes(data))


def ask_us(asked: Asked) -> Answer:
    """Ours, in this process. Raises what is no declared error: that is a bug."""
    location = locate(str(asked.repository), strict=True)
    assert location is not None
    environ = {**os.environ, **asked.environ}
    repository = NativeRepository(location, environ)
    kept = _Kept()
    conversation = Conversation(_Fed(asked.said, asked.cuts), kept)
    manner = Manner(version=asked.version, stateless=asked.stateless)
    serve = serve_upload if asked.service == "upload-pack" else serve_receive
    failed = ""
    try:
        serve(repository, conversation, manner, ServiceOptions(threads=2), Tally())
    except GitServeError as error:
        failed = f"{type(error).__name__}: {error}"
    answer = read_answer(b"".join(kept.pieces))
    answer.failed = failed
    return answer


def read_answer(data: bytes) -> Answer:
    """Packets, bands joined, the pack taken out."""
    answer = Answer()
    at = 0
    while at < len(data):
        if data[at : at + 4] == b"PACK":  # no bands at all
            answer.packs.append(data[at:])
            answer.items.append("pack")
            break
        size = int(data[at : at + 4], 16)
        if size < 4:
            at += 4
            answer.items.append(None if size == 0 else ...)
            continue
        payload = data[at + 4 : at + size]
        assert len(payload) == size - 4, "cut off in a packet"
        at += size
        _place(answer, payload)
    return answer


def _place(answer: Answer, payload: bytes) -> None:
    if payload[:1] == b"\2":
        answer.remarks += payload[1:]
    elif payload[:1] == b"\3":
        answer.items.append(b"BAD " + payload[1:])
    elif payload[:1] != b"\1":
        answer.items.append(payload)
    elif payload[1:5] == b"PACK":
        answer.items.append("pack")
        answer.packs.append(payload[1:])
    elif answer.items[-1:] == ["pack"]:
        answer.packs[-1] += payload[1:]
    elif payload != b"\1":  # sideband-all, or a report; without bytes it only keeps alive
        answer.items.append(payload)
