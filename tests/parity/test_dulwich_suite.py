"""dulwich's own tests of its server, with gitserve in its place; docs/COMPATIBILITY.md says which
do not hold, and no others do not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.parity.dulwich_source import source
from tests.parity.dulwich_suite import EXCEPTIONS, PRIVATE, SUITES

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "COMPATIBILITY.md"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All suites at once: they mostly wait for servers to end."""
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
        yield started


@pytest.mark.parametrize("name", SUITES)
def test_dulwichs_own(name: str, runs: dict[str, subprocess.Popen[str]]) -> None:
    """Exit status 1: something fails that is no exception, or an exception has come to pass."""
    said, _ = runs[name].communicate(timeout=110)
    assert runs[name].returncode == 0, said
    counted = re.search(r"^(\d+) passed, 0 failed", said, re.MULTILINE)
    assert counted is not None, said
    assert int(counted[1]) > 15


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
