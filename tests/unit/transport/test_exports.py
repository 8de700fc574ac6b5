"""Paths that strangers ask for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from gitserve.repository.config import Config
from gitserve.transport.exports import EXPORT_MARK, Exports, NotExported
from gitserve.transport.services import DEFAULT_SERVICES, service_rules


def bare(path: Path, *, marked: bool = True) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", path], check=True, capture_output=True)
    if marked:
        (path / EXPORT_MARK).touch()
    return path


@pytest.fixture
def srv(tmp_path: Path) -> Path:
    """A served folder with a repository, and one beside it."""
    bare(tmp_path / "srv/a.git")
    bare(tmp_path / "srv/unmarked.git", marked=False)
    bare(tmp_path / "outside.git")
    return tmp_path / "srv"


def found(exports: Exports, path: bytes) -> str | None:
    try:
        return exports.find(path).git_dir
    except NotExported:
        return None


def test_base_path(srv: Path) -> None:
    exports = Exports(base_path=str(srv))
    assert found(exports, b"/a.git") == str(srv / "a.git")
    assert found(exports, b"/a") == str(srv / "a.git")
    assert found(exports, b"/a.git/") == str(srv / "a.git")
    assert found(exports, b"/unmarked.git") is None
    assert found(exports, str(srv / "a.git").encode()) is None
    relaxed = Exports(base_path=str(srv), base_path_relaxed=True)
    assert found(relaxed, str(srv / "a.git").encode()) == str(srv / "a.git")
    everything = Exports(base_path=str(srv), export_all=True)
    assert found(everything, b"/unmarked.git") == str(srv / "unmarked.git")


@pytest.mark.parametrize(
    "path",
    [
        b"", b"/", b"a.git", b"../outside.git", b"/../outside.git", b"/a.git/../../outside.git",
        b"/./a.git", b"//a.git", b"/a.git/.", b"/a.git/..", b"/x/../a.git", b"/a.git\0", b"\0",
        b"/a.git\0/x", b"/%2e%2e/outside.git", b"/..%2foutside.git", b"~root/a.git", b"/~root/x",
        b"/-a.git", b"/-x/a.git", b"/" + b"x" * 5000, b"/\xff\xfe", b"/a.git/HEAD",
        b"/a.git/objects",
    ],
)  # fmt: skip
@pytest.mark.parametrize("strict", [False, True])
def test_paths_that_lead_nowhere(srv: Path, path: bytes, strict: bool) -> None:
    bare(srv / "-a.git")
    bare(srv / "-x/a.git")
    directories = (str(srv),) if strict else ()
    exports = Exports(
        base_path=str(srv), export_all=True, strict_paths=strict, directories=directories
    )
    assert found(exports, path) is None


def test_links_stay_inside(srv: Path, tmp_path: Path) -> None:
    (srv / "inner").symlink_to("a.git")
    (srv / "escape").symlink_to("../outside.git")
    (srv / "file").mkdir()
    (srv / "file/.git").write_text(f"gitdir: {tmp_path}/outside.git\n")
    exports = Exports(base_path=str(srv))
    assert found(exports, b"/inner") == str(srv / "inner")
    assert found(exports, b"/escape") is None
    assert found(exports, b"/file") is None
    both = Exports(base_path=str(srv), directories=(str(srv), str(tmp_path)))
    assert found(both, b"/escape") == str(srv / "escape")


def test_a_served_folder_that_is_a_link(tmp_path: Path) -> None:
    bare(tmp_path / "srv/a.git")
    (tmp_path / "alias").symlink_to("srv")
    exports = Exports(base_path=str(tmp_path / "alias"), directories=(str(tmp_path / "alias"),))
    assert found(exports, b"/a.git") == str(tmp_path / "alias/a.git")


def test_directories(srv: Path, tmp_path: Path) -> None:
    exports = Exports(directories=(str(srv),))
    assert found(exports, str(srv / "a.git").encode()) == str(srv / "a.git")
    assert found(exports, str(tmp_path / "outside.git").encode()) is None
    bare(tmp_path / "srv2/b.git")
    assert found(exports, str(tmp_path / "srv2/b.git").encode()) is None
    strict = Exports(directories=(str(srv / "a.git"),), strict_paths=True)
    assert found(strict, str(srv / "a.git").encode()) == str(srv / "a.git")
    assert found(strict, str(srv / "a").encode()) is None
    assert found(Exports(strict_paths=True), str(srv / "a.git").encode()) is None


def test_user_paths(srv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        os.path, "expanduser", lambda path: str(srv) if path == "~somebody" else path
    )
    exports = Exports(user_path="")
    assert found(exports, b"~somebody/a.git") == str(srv / "a.git")
    assert found(exports, b"/~somebody/a.git") == str(srv / "a.git")
    assert found(exports, b"~nobody/a.git") is None
    assert found(Exports(), b"~somebody/a.git") is None
    assert found(Exports(user_path="sub"), b"~somebody/a.git") is None


def test_services() -> None:
    rules = service_rules()
    plain = Config()
    pushable = Config([("daemon.receivepack", "true", "f", 1), ("daemon.uploadpack", "no", "f", 2)])
    assert rules["upload-pack"].allows("upload-pack", plain)
    assert not rules["receive-pack"].allows("receive-pack", plain)
    assert rules["receive-pack"].allows("receive-pack", pushable)
    assert not rules["upload-pack"].allows("upload-pack", pushable)
    rules = service_rules(
        enable=["receive-pack"], disable=["upload-pack"], forbid_override=["upload-pack"]
    )
    assert rules["receive-pack"].allows("receive-pack", plain)
    assert not rules["upload-pack"].possible
    with pytest.raises(ValueError, match="unknown service"):
        service_rules(enable=["upload-nothing"])
    assert not service_rules(services=DEFAULT_SERVICES)["upload-archive"].enabled
