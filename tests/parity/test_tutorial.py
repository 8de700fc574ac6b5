"""docs/tutorial.md, line by line: its first part without dulwich, its second beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN.format(alone="alone" in title)],
        input=code.encode(),
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
