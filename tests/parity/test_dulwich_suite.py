"""dulwich's own tests of its server, with gitserve in its place; docs/COMPATIBILITY.md says which
do not hold, and no others do not."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parity.dulwich_source import source
from tests.parity.dulwich_suite import EXCEPTIONS, PRIVATE, SUITES

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "COMPATIBILITY.md"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit status and words of each suite, all run at once: they mostly wait for servers."""
    folder = source()
    with ExitStack() as stack:
        started = {}
        for name in SUITES:
            process = subprocess.Popen(
                [sys.executable, HERE / "dulwich_suite.py", "--tests", folder, name],
                cwd=tmp_path_factory.mktemp(name),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            started[name] = stack.enter_context(process)
            stack.callback(process.kill)
        said = {name: process.communicate(timeout=110)[0] for name, process in started.items()}
        return {name: (process.returncode, said[name]) for name, process in started.items()}


@pytest.mark.parametrize("name", SUITES)
def test_dulwichs_own(name: str, runs: dict[str, tuple[int, str]]) -> None:
    """Exit status 1: something fails that is no exception, or an exception has come to pass."""
    status, said = runs[name]
    assert status == 0, said
    counted = re.search(r"^(\d+) passed, 0 failed", said, re.MULTILINE)
    assert counted is not None, said
    assert int(counted[1]) > 15


def test_every_exception_is_one(runs: dict[str, tuple[int, str]]) -> None:
    """None is listed that no test meets any more."""
    said = "".join(said for _, said in runs.values())
    met = {
        tuple(one.split(".")[-2:]) for one in re.findall(r"^EXCEPTION (.*)$", said, re.MULTILINE)
    }
    assert set(EXCEPTIONS) == {
        name for name in EXCEPTIONS if any(name in (kind, f"{kind}.{test}") for kind, test in met)
    }


def test_the_page_lists_the_exceptions() -> None:
    """Each with its reason, by the names that the table of the runner has."""
    _, _, part = PAGE.read_text().partition("\n## dulwich's own tests\n")
    rows = re.findall(r"^\| (`.*) \| (.*) \|$", part.partition("\n## ")[0], re.MULTILINE)
    listed = {name: reason for names, reason in rows for name in re.findall(r"`([^`]+)`", names)}
    assert set(listed) == set(EXCEPTIONS)
    assert all(listed.values())
    assert {name for name, reason in listed.items() if "private" in reason} == {
        name for name, reason in EXCEPTIONS.items() if reason == PRIVATE or "private" in reason
    }
