"""The words of ``gc.pruneExpire``, and what ``gitserve maintain`` tells of what it did."""

from __future__ import annotations

import io

import pytest
from gitserve.errors import RepositoryError
from gitserve.maintain import Bars, size, summary
from gitserve.service.upkeep import Report, seconds_of


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("2.weeks.ago", 14 * 86400.0),
        ("1 hour ago", 3600.0),
        ("1.Day.2.hours", 26 * 3600.0),
        ("now", 0.0),
        ("never", None),
    ],
)
def test_times(words: str, seconds: float | None) -> None:
    assert seconds_of(words) == seconds


@pytest.mark.parametrize("words", ["", "ago", "2005-04-07", "x.weeks", "2.fortnights", "-1.day"])
def test_what_is_no_time_is_refused(words: str) -> None:
    with pytest.raises(RepositoryError, match="cannot understand"):
        seconds_of(words)


def report(**changed: int) -> Report:
    numbers = {
        "packs_before": 12, "loose_before": 1, "bytes_before": 3 << 20,
        "packs_after": 1, "loose_after": 0, "bytes_after": 1 << 20,
        "packed": 1000, "set_apart": 0, "pruned": 0,
    }  # fmt: skip
    return Report(**(numbers | changed))


def test_a_summary() -> None:
    told = "12 packs and 1 loose object became 1 pack, 2.0 MiB saved, 1.0 MiB now"
    assert summary(report()) == told
    told += "; 1 unreachable object kept for a while; 2 objects pruned"
    assert summary(report(set_apart=1, pruned=2)) == told
    assert "1.0 MiB more, 4.0 MiB now" in summary(report(bytes_after=4 << 20))
    nothing = report(packs_before=1, loose_before=0, packed=0, bytes_before=1 << 20)
    assert summary(nothing) == "in order already, 1 pack, 1.0 MiB"


def test_sizes() -> None:
    assert [size(n) for n in (0, 1023, 1024, 5 << 30)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "5.0 GiB",
    ]  # fmt: skip


def test_bars_end_their_lines() -> None:
    out = io.StringIO()
    bars = Bars(out)
    bars.show("Enumerating objects", 7, None, False)
    bars.show("Enumerating objects", 9, None, True)
    bars.show("Writing objects", 50, 100, False)
    bars.end()
    lines = out.getvalue().split("\n")
    assert lines[0].endswith("\rEnumerating objects  9\x1b[K")
    assert lines[1] == "\rWriting objects      [############            ]  50% 50/100\x1b[K"
    assert lines[2] == ""
