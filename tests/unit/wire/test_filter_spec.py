"""Filters as policies see them; the names of promisor remotes; percent-encoding."""

from __future__ import annotations

import re

import pytest
from gitserve.wire import filter_spec, percent, promisor_remotes
from gitserve.wire.filter_spec import FilterPart
from gitserve.wire.malformed import Malformed
from gitserve.wire.promisor_remotes import PromisorRemote
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        (b"blob:none", [FilterPart("blob:none")]),
        (b"blob:limit=1k", [FilterPart("blob:limit")]),
        (b"object:type=tree", [FilterPart("object:type")]),
        (b"sparse:oid=main:x", [FilterPart("sparse:oid")]),
        (b"tree:3", [FilterPart("tree", 3)]),
        (b"tree:2k", [FilterPart("tree", 2048)]),
        (
            b"combine:blob:none+combine:tree%3A1%2bblob:limit%3d5",
            [
                FilterPart("combine"), FilterPart("blob:none"), FilterPart("combine"),
                FilterPart("tree", 1), FilterPart("blob:limit"),
            ],
        ),
    ],
)  # fmt: skip
def test_parts(spec: bytes, parts: list[FilterPart]) -> None:
    assert filter_spec.parts(spec) == parts


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (b"nonsense", "invalid filter-spec 'nonsense'"),
        (b"", "invalid filter-spec ''"),
        (b"blob:none ", "invalid filter-spec"),
        (b"blob:limit=", "invalid filter-spec"),
        (b"blob:limit=99999999999g", "invalid filter-spec"),
        (b"tree", "invalid filter-spec"),
        (b"tree:x", "expected 'tree:<depth>'"),
        (b"tree:-1", "expected 'tree:<depth>'"),
        (b"object:type=none", "'none' for 'object:type=<type>' is not a valid object type"),
        (b"combine:", "expected something after combine:"),
        (b"combine:blob:none+", "invalid filter-spec ''"),
        (b"sparse:path=x", "sparse:path filters support has been dropped"),
    ],
)
def test_no_filters(spec: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=re.escape(why)):
        filter_spec.parts(spec)


def test_too_many_parts() -> None:
    with pytest.raises(Malformed, match="too complex"):
        filter_spec.parts(b"combine:" + b"+".join([b"tree:1"] * 100))
    nested = b"blob:none"
    for _ in range(100):
        nested = b"combine:" + nested.replace(b"%", b"%25").replace(b"+", b"%2b")
    with pytest.raises(Malformed, match="too complex"):
        filter_spec.parts(nested)


def test_promisor_remotes() -> None:
    offered = [
        PromisorRemote("lop", (("url", "file:///a b/lop"), ("partialCloneFilter", "blob:none"))),
        PromisorRemote("other;x", (("url", "https://example.org/"), ("token", "a,b"))),
    ]
    assert promisor_remotes.format(offered) == (
        b"name=lop,url=file:///a%20b/lop,partialCloneFilter=blob:none;"
        b"name=other%3Bx,url=https://example.org/,token=a%2Cb"
    )
    accepted = promisor_remotes.parse_accepted
    assert accepted(b"lop;other%3bx;none", offered) == ("lop", "other;x")
    assert accepted(b"", offered) == ()


@given(st.binary(max_size=50))
def test_percent_encoding_comes_back(data: bytes) -> None:
    encoded = percent.encode(data)
    assert percent.decode(encoded) == data
    assert percent.UNRESERVED.union(b"%").issuperset(encoded)


@pytest.mark.parametrize("text", [b"%", b"%4", b"%zz", b"a%g0", b"%%41"])
def test_what_is_no_encoding(text: bytes) -> None:
    assert percent.decode(text) == text.replace(b"%41", b"A")
