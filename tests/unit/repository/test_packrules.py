"""How packs are made, as configuration says it."""

from __future__ import annotations

import pytest
from gitserve.errors import RepositoryError
from gitserve.repository.config import Config, ConfigError
from gitserve.repository.packrules import (
    MAX_THREADS,
    PackRules,
    compression,
    pack_rules,
    pack_threads,
)


def configured(**values: str) -> Config:
    return Config([(key.replace("_", "."), value, "", 0) for key, value in values.items()])


def test_nothing_said() -> None:
    assert pack_rules(configured()) == PackRules(10, 50, 0, -1, 512 << 20, reuse_packs=True)


def test_all_said() -> None:
    config = configured(
        pack_window="250", pack_depth="9999999", pack_windowmemory="10m", pack_compression="9",
        core_bigfilethreshold="1k", pack_allowpackreuse="no", pack_threads="3",
        pack_usebitmaps="off",
    )  # fmt: skip
    assert pack_rules(config) == PackRules(
        250, 4095, 10 << 20, 9, 1024, reuse_packs=False, threads=3, use_bitmaps=False
    )


def test_threads() -> None:
    assert pack_threads(configured(pack_threads="99999999999")) == MAX_THREADS
    with pytest.raises(RepositoryError, match=r"invalid number of threads specified \(-1\) "):
        pack_threads(configured(pack_threads="-1"))


@pytest.mark.parametrize(
    ("word", "reuses"), [("single", True), ("Multi", True), ("true", True), ("0", False)]
)
def test_pack_reuse(word: str, reuses: bool) -> None:
    assert pack_rules(configured(pack_allowpackreuse=word)).reuse_packs is reuses


def test_pack_reuse_that_means_nothing() -> None:
    with pytest.raises(ConfigError, match=r"pack\.allowpackreuse"):
        pack_rules(configured(pack_allowpackreuse="some"))


def test_compression() -> None:
    assert compression(configured()) == -1
    assert compression(configured(core_compression="9")) == 9
    assert compression(configured(core_compression="9", pack_compression="1")) == 1
    with pytest.raises(RepositoryError, match="level 10"):
        compression(configured(pack_compression="10"))
