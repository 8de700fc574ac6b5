"""What is remembered of a path is what would be found anew."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gitserve.repository import files
from gitserve.transport import admission
from gitserve.transport.admission import Admission
from gitserve.transport.exports import EXPORT_MARK, Exports, NotExported


@pytest.fixture
def srv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "RACY_NS", 0)
    for name in ("srv/a.git", "srv/b.git", "outside.git"):
        subprocess.run(["git", "init", "-q", "--bare", tmp_path / name], check=True)
        (tmp_path / name / EXPORT_MARK).touch()
    return tmp_path / "srv"


def counting(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    asked: list[bytes] = []
    find = Exports.find

    def count(self: Exports, requested: bytes) -> object:
        asked.append(requested)
        return find(self, requested)

    monkeypatch.setattr(Exports, "find", count)
    return asked


def test_a_path_is_looked_up_once(srv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports = Exports(base_path=str(srv))
    asked = counting(monkeypatch)
    open_ = Admission(exports).open
    first = open_(b"/a.git")
    assert open_(b"/a.git") is first
    assert open_(b"/a") is first
    assert open_(b"/b.git") is not first
    assert asked == [b"/a.git", b"/a", b"/b.git"]
    monkeypatch.setattr(admission.time, "monotonic", lambda: 1e12)
    open_(b"/a.git")
    assert len(asked) == 4, "what is old is looked up again"


def test_settings_are_always_current(srv: Path) -> None:
    open_ = Admission(Exports(base_path=str(srv))).open
    assert open_(b"/a.git").config.get("x.y") is None
    with (srv / "a.git/config").open("a") as config:
        config.write("[x]\ny=1\n")
    assert open_(b"/a.git").config.get("x.y") == "1"


def test_a_withdrawn_mark(srv: Path) -> None:
    open_ = Admission(Exports(base_path=str(srv))).open
    open_(b"/a.git")
    (srv / "a.git" / EXPORT_MARK).unlink()
    with pytest.raises(NotExported):
        open_(b"/a.git")


def test_a_repository_that_goes_and_another_that_comes(srv: Path, tmp_path: Path) -> None:
    open_ = Admission(Exports(base_path=str(srv))).open
    first = open_(b"/a.git")
    shutil.rmtree(srv / "a.git")
    with pytest.raises(NotExported):
        open_(b"/a.git")
    os.rename(srv / "b.git", srv / "a.git")
    assert open_(b"/a.git") is not first
    os.rename(srv / "a.git", tmp_path / "moved.git")
    (srv / "a.git").symlink_to("../outside.git")
    with pytest.raises(NotExported):
        open_(b"/a.git")


def test_a_folder_just_changed_is_not_remembered(
    srv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RACY_NS", 10**18 * 10)
    exports = Exports(base_path=str(srv))
    asked = counting(monkeypatch)
    open_ = Admission(exports).open
    open_(b"/a.git")
    open_(b"/a.git")
    assert len(asked) == 2


def test_memory_is_bounded(srv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_REMEMBERED", 2)
    exports = Exports(base_path=str(srv))
    asked = counting(monkeypatch)
    open_ = Admission(exports).open
    for path in (b"/a.git", b"/b.git", b"/a", b"/b.git"):
        open_(path)
    assert len(asked) == 3
    open_(b"/a.git")
    assert len(asked) == 4, "the oldest was forgotten"
