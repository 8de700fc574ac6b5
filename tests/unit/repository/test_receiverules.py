"""Limits on pushed packs, as the configuration says them."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitserve.errors import RepositoryError
from gitserve.repository.config import ConfigFiles
from gitserve.repository.receiverules import LEAST_MEMORY, MOST, receive_rules

CLEAN = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}


def rules(tmp_path: Path, lines: str = "") -> dict[str, int | None]:
    (tmp_path / "config").write_text(f"[gitserve]\n{lines}")
    found = receive_rules(ConfigFiles(common_dir=str(tmp_path), environ=CLEAN).current())
    return {name: getattr(found, name) for name in found.__match_args__}


def test_nothing_said(tmp_path: Path) -> None:
    found = rules(tmp_path)
    assert found.pop("pack_bytes") == 0
    assert set(found.values()) == {None}


def test_all_said(tmp_path: Path) -> None:
    lines = "maxObjects = 10k\nmaxObjectSize = 1m\nmaxDeltaDepth = 50\nmaxInflation = 100\n"
    lines += "maxResolveSeconds = 60\nresolveMemory = 2m\n[receive]\nmaxInputSize = 3m\n"
    assert rules(tmp_path, lines) == {
        "pack_bytes": 3 << 20, "objects": 10 << 10, "object_bytes": 1 << 20, "depth": 50,
        "inflation": 100, "seconds": 60, "memory": 2 << 20,
    }  # fmt: skip


def test_nothing_is_no_limit(tmp_path: Path) -> None:
    lines = "maxObjects = 0\nmaxObjectSize = 0\nmaxDeltaDepth = -1\nmaxInflation = 0\n"
    found = rules(tmp_path, lines + "maxResolveSeconds = 0\nresolveMemory = 0\n")
    assert (found["objects"], found["depth"], found["memory"]) == (MOST, MOST, LEAST_MEMORY)
    assert (found["inflation"], found["seconds"]) == (0, 0)
    assert (found["object_bytes"] or 0) > 1 << 60
    assert rules(tmp_path, "maxObjects = 100g\n")["objects"] == MOST


def test_words_are_no_numbers(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="maxobjects"):
        rules(tmp_path, "maxObjects = many\n")
