#!/usr/bin/env python3
"""A long-running filter that writes down what it is told, and behaves as its first argument says.

``filter_process.py MANNER LOG``. Git's document: gitattributes(5), "Long Running Filter Process".
"""

from __future__ import annotations

import sys
from pathlib import Path


def take() -> bytes | None:
    length = sys.stdin.buffer.read(4)
    if len(length) < 4:
        sys.exit(0)
    return sys.stdin.buffer.read(int(length, 16) - 4) if length != b"0000" else None


def section() -> list[bytes]:
    lines = []
    while (line := take()) is not None:
        lines.append(line)
    return lines


def say(*lines: bytes) -> None:
    for line in lines:
        sys.stdout.buffer.write(b"%04x%b" % (len(line) + 4, line))


def end() -> None:
    sys.stdout.buffer.write(b"0000")
    sys.stdout.buffer.flush()


def main(manner: str, log_path: str) -> int:
    def note(*words: object) -> None:
        with Path(log_path).open("a") as log:
            print(*words, file=log)

    note("started")
    if manner == "never":
        return 3
    note(section())
    say(b"git-filter-server\n", b"version=2\n" if manner != "newer" else b"version=3\n")
    end()
    note(section())
    say(b"capability=clean\n", *([b"capability=smudge\n"] if manner != "unable" else []))
    end()
    count = 0
    while True:
        head, content = section(), b"".join(section())
        count += 1
        note(head, len(content))
        if count == 1 and manner in ("error", "abort"):
            say(b"status=" + manner.encode() + b"\n")
            end()
            continue
        if count == 2 and manner == "dies":
            return 1
        say(b"hello\n" if manner == "nonsense" else b"status=success\n")
        end()
        if manner == "nonsense":
            continue
        made = content.upper() * (200 if manner == "large" else 1)
        if count == 1 and manner == "late":
            made = b"a part"
        say(*(made[at : at + 60_000] for at in range(0, len(made), 60_000)))
        end()
        if count == 1 and manner == "late":
            say(b"status=error\n")
        elif manner == "twice":
            say(b"status=success\n")
        end()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
