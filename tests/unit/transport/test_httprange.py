"""Which part of a file is wanted."""

from __future__ import annotations

import pytest
from gitserve.transport.httprange import Span, Unsatisfiable, wanted


def part(asked: str, condition: str = "") -> Span | None:
    return wanted(asked, condition, size=100, tag='"t"', modified="Thu, 01 Jan 1970 00:00:00 GMT")


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-", (10, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("Bytes = 5-6 ", (5, 7)),
    ],
)
def test_parts(asked: str, span: tuple[int, int]) -> None:
    assert part(asked) == Span(*span)


@pytest.mark.parametrize(
    "asked",
    ["", "bytes=-", "bytes=5-4", "lines=1-2", "bytes=0-1,5-6", "bytes=a-b", "bytes=+1-2",
     "bytes=1-" + "9" * 30, "bytes=\u0661-"],
)  # fmt: skip
def test_what_means_all_of_it(asked: str) -> None:
    assert part(asked) is None


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_what_is_not_there(asked: str) -> None:
    with pytest.raises(Unsatisfiable):
        part(asked)


def test_only_if_it_is_still_the_same() -> None:
    assert part("bytes=1-2", '"t"') == part("bytes=1-2", "Thu, 01 Jan 1970 00:00:00 GMT")
    assert part("bytes=1-2", '"t"') == Span(1, 3)
    assert part("bytes=1-2", '"other"') is None
    assert part("bytes=1-2", 'W/"t"') is None
