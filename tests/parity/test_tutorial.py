"""docs/tutorial.md, line by line: its first part without dulwich, its second beside it. dulwich's
own tutorial of remote repositories, with the import of the server changed and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parity.dulwich_source import source

PAGE = Path(__file__).resolve().parents[2] / "docs/tutorial.md"

RUN = """\
import doctest, sys
if {alone}:
    sys.modules["dulwich"] = None
test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {{}}, "tutorial", "tutorial.md", 0)
runner = doctest.DocTestRunner()
runner.run(test)
assert runner.tries > 10
assert not {alone} or not any(name.startswith("dulwich.") for name in sys.modules)
sys.exit(runner.failures)
"""


@pytest.mark.parametrize("title", ["On gitserve alone", "In a program that uses dulwich"])
def test_the_page_is_true(title: str, tmp_path: Path) -> None:
    (part,) = [part for part in PAGE.read_text().split("\n## ") if part.startswith(title)]
    code = part.replace("```pycon\n", "").replace("```\n", "\n")
    run(code, tmp_path, alone="alone" in title)


def test_dulwichs_own_tutorial(tmp_path: Path) -> None:
    text = (source() / "docs" / "tutorial" / "remote.txt").read_text()
    line = ">>> from dulwich.server import DictBackend, TCPGitServer\n"
    assert text.count("dulwich.server") == text.count(line) == 1
    run(text.replace(line, line.replace("dulwich", "gitserve")), tmp_path, alone=False)


def run(text: str, folder: Path, *, alone: bool) -> None:
    """``alone``: with no dulwich to be had."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN.format(alone=alone)],
        input=text.encode(),
        cwd=folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
