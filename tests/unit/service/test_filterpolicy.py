"""``uploadpackfilter.*`` and the remotes of partial clones, from configuration."""

from __future__ import annotations

import pytest
from gitserve.errors import PeerError
from gitserve.repository.config import Config, ConfigError
from gitserve.service.filterpolicy import filter_policy
from gitserve.service.promisors import advertised_promisors, promisor_names
from gitserve.session.fetching import check_filter
from gitserve.wire.promisor_remotes import PromisorRemote


def config(**values: str | None) -> Config:
    return Config(
        (key.replace("__", "."), value, "file", line)
        for line, (key, value) in enumerate(values.items())
    )


def refusal(settings: Config, spec: bytes) -> bytes | None:
    try:
        check_filter(spec, filter_policy(settings))
    except PeerError as error:
        return error.wire
    return None


def test_everything_unless_said_otherwise() -> None:
    assert refusal(config(), b"tree:5") is None
    assert refusal(config(uploadpackfilter__allow="true"), b"blob:none") is None


def test_kinds() -> None:
    some = Config(
        [
            ("uploadpackfilter.allow", "false", "file", 1),
            ("uploadpackfilter.combine.allow", "true", "file", 2),
            ("uploadpackfilter.tree.allow", "true", "file", 3),
            ("uploadpackfilter.tree.maxdepth", "5", "file", 4),
            ("uploadpackfilter.blob:none.allow", "false", "file", 5),
        ]
    )
    refused = b"filter 'blob:none' not supported"
    assert refusal(some, b"blob:none") == refused
    assert refusal(some, b"combine:tree:1+blob:none") == refused
    assert refusal(some, b"combine:tree:1+tree:5") is None
    assert refusal(some, b"object:type=blob") == b"filter 'object:type' not supported"
    assert refusal(some, b"tree:6") == b"tree filter allows max depth 5, but got 6"


def test_a_depth_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"unable to parse 'uploadpackfilter\.tree\.maxdepth'"):
        filter_policy(config(uploadpackfilter__tree__maxdepth=None))
    with pytest.raises(ConfigError, match="bad numeric config value"):
        filter_policy(config(uploadpackfilter__tree__maxdepth="x"))


def test_promisor_remotes() -> None:
    entries = [
        (key, value, "file", 1)
        for key, value in (
            ("remote.origin.url", "/a"),
            ("remote.lop.url", "file:///lop"),
            ("remote.lop.promisor", "true"),
            ("remote.lop.token", "t"),
            ("remote.half.partialclonefilter", "blob:none"),
            ("remote.half.url", "/half"),
            ("remote.none.promisor", "true"),
            ("extensions.partialclone", "old"),
            ("promisor.sendfields", "token, url, partialCloneFilter"),
        )
    ]
    settings = Config(entries)
    assert promisor_names(settings) == ["lop", "half", "none", "old"]
    assert advertised_promisors(settings) == ()
    told = Config([*entries, ("promisor.advertise", "true", "file", 1)])
    assert advertised_promisors(told) == (
        PromisorRemote("lop", (("url", "file:///lop"), ("token", "t"))),
        PromisorRemote("half", (("url", "/half"), ("partialCloneFilter", "blob:none"))),
    )
