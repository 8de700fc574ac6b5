"""Frozen values, and that they keep the start of a one-request process short."""

from __future__ import annotations

import copy
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from gitserve.record import EMPTY, Record, compile_constructors


class Point(Record):
    x: int
    y: int = 0


class Named(Point):
    name: bytes = b""

    @property
    def title(self) -> bytes:
        return self.name.title()


def test_values_are_given_by_place_name_and_default() -> None:
    assert Point(1) == Point(1, 0) == Point(x=1) == Point(y=0, x=1)
    assert (Named(1, name=b"a").y, Named(1, name=b"a").title) == (0, b"A")


@pytest.mark.parametrize(
    ("places", "names"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1, "z": 2})],
)
def test_what_does_not_fit_is_refused(places: tuple[int, ...], names: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="Point"):
        Point(*places, **names)


def test_nothing_changes() -> None:
    point = Point(1)
    for name in ("x", "other"):
        with pytest.raises(AttributeError):
            setattr(point, name, 2)
    with pytest.raises(AttributeError):
        del point.x  # type: ignore[misc]
    assert point.but(y=5) == Point(1, 5)
    assert point == Point(1)


def test_equal_means_of_one_class() -> None:
    assert Named(1) != Point(1)
    assert Point(1) != (1, 0)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert repr(Named(1)) == "Named(x=1, y=0, name=b'')"


def test_copies_are_equal() -> None:
    point = Named(1, name=b"a")
    assert pickle.loads(pickle.dumps(point)) == point == copy.deepcopy(point)
    match point:
        case Point(x, y):
            assert (x, y) == (1, 0)
    assert str(inspect.signature(Point)) == "(x, y=0)"


def test_defaults_cannot_change() -> None:
    class Kept(Record):
        kept: object = EMPTY

    assert Kept().kept is EMPTY
    with pytest.raises(TypeError, match="could change"):
        type(Record)("Bad", (Record,), {"__annotations__": {"kept": "list"}, "kept": []})
    with pytest.raises(TypeError, match="follows"):
        type(Record)("Bad", (Record,), {"__annotations__": {"a": "int", "b": "int"}, "a": 1})


def test_compiled_constructors_are_the_same() -> None:
    class Late(Point):
        z: bytes = b""

    before = Late(1, z=b"z")
    compile_constructors()
    assert Late(1, z=b"z") == before == Late(x=1, y=0, z=b"z")
    assert Late(1).z == b""
    with pytest.raises(TypeError):
        Late()  # type: ignore[call-arg]


LIGHT = {
    "__future__", "_collections", "_functools", "_operator", "binascii", "collections",
    "collections.abc", "contextlib", "enum", "errno", "functools", "itertools", "keyword",
    "operator", "reprlib", "select", "types",
}  # fmt: skip
"""All of the standard library that one request needs beside what the interpreter starts with.
argparse, dataclasses, inspect, logging, re, socket, subprocess, threading and typing each cost more
than the whole of what the request does in Python."""

OTHERS = {
    "upload-pack": {"archive", "bundling", "hooks", "push", "receive", "upload_v0"},
    "receive-pack": {"archive", "bundling", "proc_receive", "upload", "upload_v0", "upload_v2"},
}
"""Services and sessions that this request is not for."""

ELSEWHERE = {"archiving", "clients", "dropin", "asgi", "client", "maintain", "server", "web"}
"""Parts of the package that no program needs which serves one request."""

ROAD = {"transport", "transport.pipes", "transport.stdio"}


@pytest.mark.parametrize("service", ["upload-pack", "receive-pack"])
def test_one_request_imports_little(service: str, tmp_path: Path) -> None:
    git_dir = tmp_path / "a.git"
    subprocess.run(["git", "init", "-q", "--bare", git_dir], check=True)
    program = (
        "import sys; before = set(sys.modules); from gitserve.cli import main;"
        f" main(['{service}', '--advertise-refs', {str(git_dir)!r}]);"
        " print(*(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"GIT_PROTOCOL": "version=2"},
        capture_output=True,
        check=True,
    )
    assert b"0000" in done.stdout
    loaded = set(done.stderr.decode().split())
    own = {name.removeprefix("gitserve.") for name in loaded if name.startswith("gitserve.")}
    assert {"cli", "_core", "service.requests"} < own
    assert {name for name in loaded if not name.startswith("gitserve")} <= LIGHT
    assert {name for name in own if name.startswith("transport")} <= ROAD
    assert not {name.partition(".")[0] for name in own} & ELSEWHERE
    assert not {name.rpartition(".")[2] for name in own} & OTHERS[service]
