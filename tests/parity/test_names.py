"""Every public name of dulwich's four modules is here, and is called as it is there.

What code passes to dulwich's functions, methods and constructors, by position or by name, is taken
by ours; more may be taken. docs/COMPATIBILITY.md names what ``gitserve.server`` has and lacks.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "COMPATIBILITY.md"
MODULES = ["server", "protocol", "web", "errors"]
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def pairs(module: str) -> Iterator[tuple[str, Any, Any]]:
    """Each public name, theirs, ours."""
    theirs = importlib.import_module(f"dulwich.{module}")
    ours = importlib.import_module(f"gitserve.{module}")
    for name in theirs.__all__:
        assert hasattr(ours, name), f"gitserve.{module} lacks {name}"
        yield name, getattr(theirs, name), getattr(ours, name)


def complaint(theirs: Any, ours: Any) -> str | None:
    """Which call that ``theirs`` takes ``ours`` would not."""
    try:
        asked = list(inspect.signature(theirs).parameters.values())
    except (TypeError, ValueError):
        return None  # nothing that is called
    offered = inspect.signature(ours).parameters
    by_place = [one for one in offered.values() if one.kind in POSITIONAL]
    takes_rest = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in offered.values())
    for place, one in enumerate(asked):
        if one.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        same = offered.get(one.name)
        if one.kind in POSITIONAL:
            at = by_place[place] if place < len(by_place) else None
            if at is None and not takes_rest:
                return f"no {one.name} at place {place}"
            same = same or (at if one.kind is inspect.Parameter.POSITIONAL_ONLY else None)
            if at is not None and at.name != one.name and one.name != "self":
                return f"{at.name} in the place of {one.name}"
        if same is None and one.name != "self":
            return f"no {one.name}"
        if same is not None and one.default is not one.empty and same.default is same.empty:
            return f"{one.name} must be given"
    known = {one.name for one in asked}
    for one in offered.values():
        if one.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if one.name not in known and one.default is one.empty:
            return f"{one.name} is asked for, too"
    return None


def test_the_judge_can_say_no() -> None:
    def one(a: int, b: int = 0) -> None: ...

    assert complaint(one, one) is None
    assert complaint(one, lambda a, b=0, c=0: None) is None
    for other in (
        lambda b=0: None, lambda a, b: None, lambda a, c=0: None, lambda b, a=0: None,
        lambda a, b, c: None, lambda a, *, b=0: None,
    ):  # fmt: skip
        assert complaint(one, other) is not None


@pytest.mark.parametrize("module", MODULES)
def test_every_name_is_called_as_ever(module: str) -> None:
    complaints = []
    for name, theirs, ours in pairs(module):
        if theirs is ours:
            continue
        assert inspect.isclass(theirs) == inspect.isclass(ours), name
        complaints += [(name, complaint(theirs, ours))] if callable(theirs) else []
        if not inspect.isclass(theirs):
            assert callable(theirs) == callable(ours), name
            continue
        for method in vars(theirs):
            if method.startswith("_"):
                continue
            if name == "BackendRepo" and method in ("object_store", "refs", "object_format"):
                continue  # what an instance has; a class of one's own may set it in __init__
            assert hasattr(ours, method), f"{name} lacks {method}"
            if callable(getattr(theirs, method)):
                bound = [getattr(of, method) for of in (theirs, ours)]
                complaints.append((f"{name}.{method}", complaint(*bound)))
    # a class method once and an instance's today, it takes both, so its argument has no name
    may_differ = {f"{kind}PackHandler.capabilities" for kind in ("Upload", "Receive")}
    assert [one for one in complaints if one[1] and one[0] not in may_differ] == []


@pytest.mark.parametrize("module", MODULES)
def test_constants_are_the_same(module: str) -> None:
    plain = (int, str, bytes, tuple, list)
    constants = [one for one in pairs(module) if type(one[1]) in plain]
    assert constants or module in ("errors", "server")
    assert [name for name, theirs, ours in constants if theirs != ours] == []


def rows(section: str) -> dict[str, str]:
    """Each name in the first column of the table, and the word of the second."""
    _, _, part = PAGE.read_text().partition(f"\n## {section}\n")
    found = re.findall(r"^\| (.*?) \| (\w+) \|", part.partition("\n## ")[0], re.MULTILINE)
    return {name: word for names, word in found for name in re.findall(r"`([^`]+)`", names)}


def test_the_table_of_names_is_whole_and_true() -> None:
    import dulwich.server
    import gitserve.server

    listed = rows("gitserve.server")
    absent = {name for name, word in listed.items() if word == "absent"}
    assert set(listed.values()) == {"same", "better", "absent"}
    assert set(listed) - absent == set(dulwich.server.__all__) == set(gitserve.server.__all__)
    for name in absent:
        assert not hasattr(gitserve.server, name)
        assert hasattr(dulwich.server, name) or hasattr(dulwich.server.ReceivePackHandler, name)
        assert not hasattr(gitserve.server.ReceivePackHandler, name)


def test_the_page_names_the_release_that_is_compared() -> None:
    import dulwich

    version = ".".join(map(str, dulwich.__version__))
    assert f"dulwich {version}" in PAGE.read_text()
