"""Paths over HTTP: what lies outside, and what inside a repository is nobody's business."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.interop.test_http_backend import GET, ours
from tests.security.conversing import Site, get, post, status, undated
from tests.support.raw import FLUSH

pytestmark = pytest.mark.ours

NOWHERE = [
    b"/../outside.git",
    b"/%2e%2e/outside.git",
    b"/.%2e/outside.git",
    b"/..%2foutside.git",
    b"/%2e%2e%2foutside.git",
    b"/%252e%252e/outside.git",
    b"/%c0%ae%c0%ae/outside.git",
    b"/..%5coutside.git",
    b"/..;/outside.git",
    b"/small.git/../../outside.git",
    b"/small.git/%2e%2e/%2e%2e/outside.git",
    b"/small.git/../small.git",
    b"/./small.git",
    b"/small.git/%2e",
    b"/small.git%00",
    b"/small.git%00.git",
    b"/small.git%0a",
    b"/small.git%20",
    b"/link.git",
    b"/small.git/objects",
    b"/~root/small.git",
    b"/%7eroot",
    b"/-small.git",
    b"/%2dsmall.git",
    b"/" + b"x" * 5000,
    b"/" + b"x/" * 3000 + b"y",
    b"file:///small.git",
]


@pytest.mark.parametrize("path", NOWHERE, ids=lambda path: path[:40].decode())
def test_paths_that_lead_nowhere(site: Site, path: bytes) -> None:
    """To the byte what is said of a repository that does not exist."""
    shutil.copytree(site.folder / "small.git", site.folder / "-small.git")
    service = {"query": b"service=git-upload-pack"}
    assert status(site.http(get(b"/small.git/info/refs", query=service["query"]))) == 200
    for there, absent in (
        (get(path + b"/HEAD"), get(b"/absent.git/HEAD")),
        (get(path + b"/info/refs", **service), get(b"/absent.git/info/refs", **service)),
        (post(path, FLUSH, b"Content-Length: 4"), post(b"/absent", FLUSH, b"Content-Length: 4")),
    ):
        answer = undated(site.http(there))
        assert status(answer) == 404
        assert answer == undated(site.http(absent))


def test_the_root_of_the_file_system_is_none(site: Site) -> None:
    outside = os.fsencode(site.folder.parent / "outside.git")
    for path in (outside, b"/" + outside, b"/small.git" + outside):
        assert status(site.http(get(path + b"/HEAD"))) == 404


PRIVATE = [
    "config", "config.worktree", "hooks/pre-receive", "logs/HEAD", "description", "packed-refs",
    "refs/heads/main", "index", "shallow", "git-daemon-export-ok", "objects/info/commit-graph",
    "objects/pack/multi-pack-index", "objects/pack/x.keep", "gitserve-locks/x", "worktrees/x/HEAD",
    "info/attributes", "info/exclude", "objects/pack/../../config", "info/../config",
    "objects/info/../../config", "HEAD/../config", "objects/aa/" + "../" * 12 + "config",
]  # fmt: skip


@pytest.mark.parametrize("file", PRIVATE)
def test_only_what_clones_need_is_given(site: Site, file: str) -> None:
    repository = site.folder / "small.git"
    place = repository / file
    if ".." not in file and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("private")
    for method in (b"GET", b"HEAD"):
        answer = site.http(get(f"/small.git/{file}".encode(), method=method))
        assert status(answer) == 404
        assert b"private" not in answer


def test_what_is_no_file_is_not_opened(site: Site) -> None:
    """A pipe would hold up its reader until somebody writes."""
    repository = site.folder / "small.git"
    folder = repository / "objects/00"
    folder.mkdir()
    os.mkfifo(folder / ("0" * 38))
    (folder / ("1" * 38)).mkdir()
    (folder / ("2" * 38)).symlink_to("/dev/zero")
    for digit in "012":
        answer = site.http(get(f"/small.git/objects/00/{digit * 38}".encode()))
        assert status(answer) == 404


def test_folders_of_the_server_are_not_told(site: Site) -> None:
    """Alternates are: a client may ask for those that are written as seen from here."""
    outside = site.folder.parent / "outside.git/objects"
    info = site.folder / "small.git/objects/info"
    (info / "alternates").write_text(f"{outside}\n# {outside}\n../../sister.git/objects\n")
    answer = site.http(get(b"/small.git/objects/info/alternates"))
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n../../sister.git/objects\n")


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.git",
        "/link.git",
        "/small.git/../../outside.git",
        "/-small.git",
        "//outside.git",
    ],
)
def test_a_web_servers_program(site: Site, path: str) -> None:
    """What CGI hands over has been decoded once, and is looked at no less."""
    shutil.copytree(site.folder / "small.git", site.folder / "-small.git")
    place = {"GIT_PROJECT_ROOT": str(site.folder), "GIT_HTTP_EXPORT_ALL": "", **GET}
    assert ours({**place, "PATH_INFO": "/small.git/HEAD"}).status == "200 OK"
    answer = ours({**place, "PATH_INFO": f"{path}/HEAD"})
    assert answer.status in ("404 Not Found", "500 Internal Server Error")
    assert answer.content in (b"", b"Not Found\n")
