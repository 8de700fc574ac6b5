"""Archives of what their formats have no room for."""

from __future__ import annotations

import io
import random
import zipfile
from typing import cast

import pytest
from gitserve._core import Snapshot
from gitserve.archiving import zip as zip_format
from gitserve.archiving.entry import Content, Entry
from gitserve.archiving.request import ArchiveRefused
from gitserve.archiving.selection import _is_time
from gitserve.archiving.tar import RECORD, tar
from gitserve.archiving.zip import zip_archive
from gitserve.errors import RepositoryError
from gitserve.repository.trees import entries

ID = b"1" * 40


class Trees:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, _: bytes) -> tuple[str, bytes]:
        return "tree", self.content


@pytest.mark.parametrize(
    "content",
    [b"x", b"100644 a\0short", b"10x644 a\0" + bytes(20), b" a\0" + bytes(20), b"1\0" + bytes(20)],
)
def test_a_tree_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(RepositoryError):
        list(entries(cast(Snapshot, Trees(content)), ID))


def test_a_tree_s_entries() -> None:
    content = b"100644 a b\0" + bytes(20) + b"40000 c\0" + b"\x11" * 20
    found = list(entries(cast(Snapshot, Trees(content)), ID))
    assert found == [(0o100644, b"a b", b"0" * 40), (0o40000, b"c", ID)]


def test_times_that_fit() -> None:
    assert _is_time(b"8589934591")
    assert not any(map(_is_time, [b"8589934592", b"-1", b"", b"9" * 5000]))
    header = b"".join(tar([Entry(b"a", 0o100644, ID)], 8**11 - 1, None))[:RECORD]
    assert header[257:262] == b"ustar"


@pytest.mark.parametrize("when", [0, 8**11 - 1])
def test_zip_knows_the_years_from_1980_to_2107(when: int) -> None:
    assert b"".join(zip_archive([Entry(b"a", 0o100644, ID, Content.of(b"x"))], when, None, -1))


def test_a_path_that_zip_has_no_room_for() -> None:
    with pytest.raises(ArchiveRefused, match="path too long"):
        list(zip_archive([Entry(b"a" * 65536, 0o100644, ID)], 0, None, -1))


@pytest.mark.parametrize("level", [0, -1])
@pytest.mark.parametrize("is_big", [True, False])
def test_what_zip_tells_in_eight_bytes(
    monkeypatch: pytest.MonkeyPatch, level: int, is_big: bool
) -> None:
    """With the limit lowered: somebody else's reader finds all of it all the same."""
    monkeypatch.setattr(zip_format, "WIDE_FROM", 700)
    contents = {
        b"small": b"x" * 10, b"shrinks": b"y" * 5000, b"stays": random.Random(1).randbytes(2000),
        b"last": b"z",
    }  # fmt: skip
    made = [
        Entry(
            name, 0o100644, ID, Content(len(data), lambda data=data: [data[:7], data[7:]], is_big)
        )
        for name, data in contents.items()
    ]
    archive = b"".join(zip_archive(made, 0, ID, level))
    assert archive.count(b"PK\6\6") == 1
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        assert file.testzip() is None
        assert {one.filename.encode(): file.read(one) for one in file.infolist()} == contents
        versions = {one.filename: one.extract_version for one in file.infolist()}
    assert (versions["small"], versions["stays"]) == (10, 45)
