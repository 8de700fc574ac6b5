"""``core.fsync``: what a push waits for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gitserve.errors import RepositoryError
from gitserve.repository.native import NativeRepository
from gitserve.repository.syncrules import OURS, sync_rules

from tests.support.gits import installed_gits

GIT = installed_gits()[0]


@pytest.fixture(autouse=True)
def nobodys_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves run without waiting for the disk."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


@pytest.mark.parametrize(
    ("value", "rules"),
    [
        (None, OURS),
        ("", OURS),
        ("all", OURS),
        ("reference", OURS),
        ("none", frozenset()),
        ("none,reference , pack", frozenset(("reference", "pack"))),
        ("-loose-object", OURS - {"loose-object"}),
        ("-objects,committed", OURS),
        ("none,committed,-loose-object", frozenset(("loose-object", "pack"))),
        ("reference,none,derived-metadata", frozenset(("pack-metadata", "commit-graph"))),
        ("none,index,nonsense", frozenset()),
    ],
)
def test_components(tmp_path: Path, value: str | None, rules: frozenset[str]) -> None:
    """Aggregates, removal, and the reset; the default is everything."""
    GIT.run("init", "-q", "--bare", ".", cwd=tmp_path)
    if value is not None:
        GIT.run("config", "core.fsync", value, cwd=tmp_path)
    assert sync_rules(NativeRepository.open(str(tmp_path)).config) == rules


def test_methods(tmp_path: Path) -> None:
    """Only one of them does not wait."""
    GIT.run("init", "-q", "--bare", ".", cwd=tmp_path)
    for method, rules in (("batch", OURS), ("writeout-only", frozenset())):
        GIT.run("config", "core.fsyncMethod", method, cwd=tmp_path)
        assert sync_rules(NativeRepository.open(str(tmp_path)).config) == rules
    GIT.run("config", "core.fsyncMethod", "hope", cwd=tmp_path)
    with pytest.raises(RepositoryError, match="hope"):
        sync_rules(NativeRepository.open(str(tmp_path)).config)
