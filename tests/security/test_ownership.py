"""``safe.directory``: who is started for one client serves no stranger's repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gitserve.transport import httpbackend, stdio
from gitserve.transport.exports import Exports, NotExported

from tests.security.conversing import Site, get, status

pytestmark = pytest.mark.ours


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Everything belongs to somebody else, and nobody has said that this is fine."""
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    settings = tmp_path / "settings"
    settings.write_text("")
    return {"GIT_CONFIG_GLOBAL": str(settings), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.mark.parametrize("service", ["upload-pack", "receive-pack", "upload-archive"])
def test_on_pipes(
    site: Site,
    strange: dict[str, str],
    service: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = str(site.folder / "small.git")
    monkeypatch.setattr(stdio, "serve_only", lambda: None)
    assert stdio.run(service, [repository], strange) == stdio.EXIT_FATAL
    told = capfd.readouterr()
    assert "detected dubious ownership" in told.err
    assert not told.out


def test_behind_a_web_server(site: Site, strange: dict[str, str]) -> None:
    exports = Exports(base_path=str(site.folder), export_all=True)
    find = httpbackend._find(strange, exports)
    with pytest.raises(NotExported, match="dubious ownership"):
        find(b"/small.git")
    Path(strange["GIT_CONFIG_GLOBAL"]).write_text(f"[safe]\n\tdirectory = {site.folder}/*\n")
    assert find(b"/small.git").git_dir == str(site.folder / "small.git")


def test_a_server_serves_what_its_operator_named(site: Site, strange: dict[str, str]) -> None:
    assert strange
    assert status(site.http(get(b"/small.git/HEAD"))) == 200
