"""The harness runs: every kind of row on a small repository, every command, no failed request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benches.options import ROOT, build_loadgen
from benches.report import load

ROWS = {
    "ls-refs, 1000 refs, repeated, v0": {"git daemon", "dulwich", "gitserve", "limit"},
    "fetch, nothing new, repeated": {"git daemon", "gitserve", "gitserve+cache", "limit"},
    "fetch, 20 behind, different": {"git daemon", "gitserve"},
    "clone, depth 1, cold": {"git daemon", "gitserve"},
    "clone, bitmap, all, different": {"git daemon", "gitserve"},
    "clone, bitmap, part, different": {"git daemon", "gitserve"},
    "clone, 40 packs and loose, cold": {"git daemon", "gitserve"},
    "push of one commit, 1000 refs": {"git daemon", "git daemon, fsync", "dulwich", "gitserve"},
    "push, 64 clients, 64 repositories": {"git daemon", "git daemon, fsync", "dulwich", "gitserve"},
    "push, whole repository": {"git daemon", "gitserve"},
    "upload-pack DIR, start to first byte, stdio": {"git daemon", "gitserve"},
    "maintain --full, upkeep": {"git daemon", "gitserve"},
    "maintain, bitmaps and commit-graph, upkeep": {"git daemon", "gitserve"},
    "git fetch, 20 behind, real git": {"git daemon", "dulwich", "gitserve", "gitserve+cache"},
    "after 10 pushes": {"git daemon", "gitserve"},
    "dulwich API, clone, disk": {"dulwich", "gitserve"},
}
"""Words that choose rows, and who must be in each of them."""

pytestmark = pytest.mark.timeout(400)

SMALL = ("--rounds=1", "--scale=0.05", "--seconds=1")


HOME = os.environ["HOME"]
"""Where cargo finds its toolchain; the tests themselves run in an empty one."""


@pytest.fixture(scope="module")
def loadgen() -> Path:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", HOME)
        return build_loadgen(ROOT / "target")


def benches(work: Path, *words: str) -> str:
    """Runs the harness; what it prints."""
    command = [sys.executable, "-m", "benches", *words, f"--work={work}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    return done.stdout


def test_every_kind_of_row(tmp_path: Path, loadgen: Path) -> None:
    path = tmp_path / "found.json"
    chosen = [f"--only={word}" for word in ROWS]
    words = ["--size=60", "--pushes=10", f"--json={path}", f"--plots={tmp_path}", *SMALL, *chosen]
    benches(tmp_path / "work", *words, "--without=jgit", f"--loadgen={loadgen}")

    measured = load(path)
    for word, servers in ROWS.items():
        rows = [one for one in measured if one.row.startswith(word)]
        assert servers == {one.server for one in rows}, word
    for one in measured:
        assert (one.requests > 0, one.errors) == (True, 0), one
        if one.mode == "different":
            assert (len(one.answers), sum(one.answers.values())) == (one.requests, one.bytes)
            assert one.took_ms.keys() == one.answers.keys()
            assert all(took > 0 for took in one.took_ms.values())
    stored: dict[str, Any] = json.loads(path.read_text())
    assert set(stored["summary"]) == {one.row for one in measured}
    assert str(tmp_path) not in path.read_text()
    assert (tmp_path / "found.svg").read_text().startswith("<svg")


def test_the_other_commands(tmp_path: Path, loadgen: Path) -> None:
    path = tmp_path / "growth.json"
    sizes = ("--commits=40,60", "--refs=10", "--clients=2")
    more = (*SMALL, f"--loadgen={loadgen}")
    page = tmp_path / "growth.md"
    words = (f"--json={path}", f"--plots={tmp_path}", f"--page={page}", *more)
    benches(tmp_path, "growth", *sizes, *words)
    assert "push of one commit" in page.read_text()
    assert str(tmp_path) not in page.read_text()
    points = json.loads(path.read_text())["points"]
    assert {(one["axis"], one["size"]) for one in points} == {
        ("commits", 40),
        ("commits", 60),
        ("refs", 10),
        ("clients", 2),
    }
    assert not [one for one in points if one["errors"]]
    assert (tmp_path / "growth-commits.svg").exists()
    said = benches(tmp_path, "mixed", "--size=40", "--clones=2", "--fetches=5", *more)
    assert said.count("among 2 clones") == 2
    assert benches(tmp_path, "leaving", "--size=40", *SMALL).count("worked on for") == 2
