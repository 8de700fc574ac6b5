"""Runs a push, or upkeep, with ``interpose.c`` between the server and its disk.

In: a repository, the bytes of a push, what is to happen at which operation. Out: what the client
was told, and the record of every operation. Needs a C compiler, as building the package does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

TIMEOUT = 60.0
SOURCE = Path(__file__).with_name("interpose.c")


@dataclass(frozen=True, slots=True)
class Operation:
    """What was done to the file system, ``failed`` there, or was said to the client (``told``)."""

    what: str
    path: str
    to: str
    offset: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a server process ended, and what it said before."""

    root: Path
    status: int
    told: bytes
    stderr: bytes
    operations: tuple[Operation, ...] = field(default=())

    @property
    def ok_refs(self) -> frozenset[bytes]:
        """What the client may rely on."""
        return acknowledged(self.told)

    @property
    def steps(self) -> int:
        """How many operations changed the file system."""
        return sum(operation.what != "told" for operation in self.operations)

    @property
    def failures(self) -> list[tuple[str, str]]:
        """What was made to fail: the operation and the path."""
        return [(op.to, op.path) for op in self.operations if op.what == "failed"]


def acknowledged(told: bytes) -> frozenset[bytes]:
    """The refs that a report, whole or cut off, says ``ok`` to (no side-band was asked for).

    In: all that was said, from the advertisement on, which ends with the first flush.
    """
    is_report = False
    refs: set[bytes] = set()
    at = 0
    while at + 4 <= len(told):
        length = int(told[at : at + 4], 16)
        line = told[at + 4 : at + length]
        if length > 4 and len(line) < length - 4:
            break
        if length == 0:
            is_report = True
        elif is_report and line.startswith(b"ok "):
            refs.add(line[3:].rstrip(b"\n"))
        at += max(length, 4)
    return frozenset(refs)


def remove(folder: Path) -> None:
    """A folder that was tried, and its record."""
    shutil.rmtree(folder)


@cache
def library(folder: Path) -> Path:
    """The compiled interposer."""
    built = folder / "interpose.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", built, SOURCE, "-ldl", "-lpthread"],
        check=True,
        timeout=TIMEOUT,
    )
    return built


def push(
    repository: Path,
    request: bytes,
    library: Path,
    *,
    trace: Path | None = None,
    at: int | None = None,
    do: str | None = None,
    sticky: bool = False,
    boot: int | None = None,
) -> Outcome:
    """One ``gitserve receive-pack``, fed with ``request``."""
    words = ("receive-pack", str(repository))
    plan = Plan(trace, at, do, sticky, boot)
    return _run(repository, words, request, library, plan)


def maintain(
    repository: Path,
    options: Sequence[str],
    library: Path,
    *,
    trace: Path | None = None,
    at: int | None = None,
    do: str | None = None,
    sticky: bool = False,
    boot: int | None = None,
) -> Outcome:
    """One ``gitserve maintain``."""
    words = ("maintain", "--threads=1", *options, str(repository))
    return _run(repository, words, b"", library, Plan(trace, at, do, sticky, boot))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is recorded, and what is to happen at which operation."""

    trace: Path | None
    at: int | None
    do: str | None
    sticky: bool
    boot: int | None


def _run(
    repository: Path, words: Sequence[str], request: bytes, library: Path, plan: Plan
) -> Outcome:
    environ = {
        # the tests' own configuration says that nothing need be waited for
        **{name: value for name, value in os.environ.items() if name != "GIT_CONFIG_GLOBAL"},
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(repository),
        "LD_PRELOAD": str(library),
        "CRASH_ROOT": str(repository),
    }
    environ.pop("XDG_CONFIG_HOME", None)
    if plan.trace is not None:
        plan.trace.unlink(missing_ok=True)
        _data_of(plan.trace).unlink(missing_ok=True)
        environ["CRASH_TRACE"] = str(plan.trace)
    if plan.at is not None and plan.do is not None:
        environ |= {"CRASH_AT": str(plan.at), "CRASH_DO": plan.do}
    if plan.sticky:
        environ["CRASH_STICKY"] = "1"
    if plan.boot is not None:
        fake = library.with_name(f"stat-{plan.boot}")
        fake.write_text(f"btime {plan.boot}\n")
        environ["CRASH_PROC_STAT"] = str(fake)
    server = Path(sys.executable).with_name("gitserve")
    done = subprocess.run(
        [server, *words],
        input=request,
        capture_output=True,
        timeout=TIMEOUT,
        env=environ,
        check=False,
    )
    assert done.returncode != 97, done.stderr.decode(errors="replace")
    operations = read_trace(plan.trace) if plan.trace is not None else ()
    return Outcome(repository, done.returncode, done.stdout, done.stderr, operations)


def read_trace(trace: Path) -> tuple[Operation, ...]:
    """The record, in order."""
    data = _data_of(trace).read_bytes()
    operations = []
    for line in trace.read_text().splitlines():
        what, _inode, offset, start, length, path, to = line.split("\t")
        begin = int(start)
        content = data[begin : begin + int(length)] if begin >= 0 else b""
        operations.append(Operation(what, path, to, int(offset), content))
    return tuple(operations)


def _data_of(trace: Path) -> Path:
    return trace.with_name(trace.name + ".data")
