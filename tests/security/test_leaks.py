"""What is wrong with a repository is for its owner: strangers hear a general word on every road."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.conversing import Site, get, length, post, status
from tests.support.raw import DELIM, FLUSH, greeting, pkt

pytestmark = pytest.mark.ours

REFS = pkt(b"command=ls-refs\n") + DELIM + FLUSH
ZERO = b"0" * 40


def add_to(file: str, text: str) -> Callable[[Path], None]:
    def damage(repository: Path) -> None:
        path = repository / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.read_text() + text if path.exists() else text)

    return damage


def cut(pattern: str) -> Callable[[Path], None]:
    def damage(repository: Path) -> None:
        (path,) = repository.glob(pattern)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:40])

    return damage


def without_tip(repository: Path) -> None:
    (repository / "refs/heads").mkdir(parents=True, exist_ok=True)
    (repository / "refs/heads/main").write_text("1234567890" * 4 + "\n")


DAMAGES = {
    "settings that are none": add_to("config", "[core\n"),
    "a format of another time": add_to("config", "[core]\n\trepositoryformatversion = 99\n"),
    "an unknown extension": add_to(
        "config", "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tfrobnication = 1\n"
    ),
    "settings that are wrong": add_to(
        "config",
        "[uploadpack]\n\tallowFilter = perhaps\n[receive]\n\tadvertiseAtomic = perhaps\n"
        "[http]\n\tgetanyfile = perhaps\n[uploadarchive]\n\tallowUnreachable = perhaps\n",
    ),
    "a missing include": add_to("config", "[include]\n\tpath = /secret/folder/settings\n"),
    "packed refs that are none": add_to("packed-refs", "no line of refs\n"),
    "a boundary that is none": add_to("shallow", "no id\n"),
    "alternates that lead nowhere": add_to("objects/info/alternates", "/secret/folder\n"),
    "half an index": cut("objects/pack/*.idx"),
    "half a pack": cut("objects/pack/*.pack"),
    "a branch of nothing": without_tip,
}


def asked(name: bytes, tip: bytes) -> dict[str, tuple[str, bytes]]:
    """Everything that a stranger may ask for: the road, and what is said."""
    path = b"/" + name
    fetch = pkt(b"command=fetch\n") + DELIM + pkt(b"want " + tip + b"\n") + pkt(b"done\n") + FLUSH
    tags = {"query": b"service=git-upload-pack"}
    pushes = {"query": b"service=git-receive-pack"}
    want = pkt(b"want " + tip + b"\n") + FLUSH + pkt(b"done\n")
    update = pkt(b"%b %b refs/heads/x\0report-status" % (ZERO, tip)) + FLUSH
    return {
        "refs": ("git", greeting(b"git-upload-pack", path) + FLUSH),
        "clone": ("git", greeting(b"git-upload-pack", path) + want),
        "refs, v2": ("git", greeting(b"git-upload-pack", path, b"version=2") + REFS),
        "clone, v2": ("git", greeting(b"git-upload-pack", path, b"version=2") + fetch),
        "push": ("git", greeting(b"git-receive-pack", path) + update),
        "archive": (
            "git", greeting(b"git-upload-archive", path) + pkt(b"argument main\n") + FLUSH,
        ),
        "smart": ("http", get(path + b"/info/refs", **tags)),
        "smart, a push": ("http", get(path + b"/info/refs", **pushes)),
        "smart refs": ("http", post(path, REFS, length(REFS))),
        "smart clone": ("http", post(path, fetch, length(fetch))),
        "smart push": ("http", post(path, update, length(update), service=b"git-receive-pack")),
        "dumb refs": ("http", get(path + b"/info/refs")),
        "dumb HEAD": ("http", get(path + b"/HEAD")),
        "dumb packs": ("http", get(path + b"/objects/info/packs")),
        "dumb alternates": ("http", get(path + b"/objects/info/alternates")),
    }  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_told_to_nobody(site: Site, damage: Callable[[Path], None]) -> None:
    repository = site.folder / "damaged.git"
    shutil.copytree(site.folder / "small.git", repository)
    tip = site.git(greeting(b"git-upload-pack", b"/damaged.git"), FLUSH)[4:44]
    damage(repository)
    unsaid = [
        str(site.folder).encode(), b"/secret", b"Traceback", b".py", b".rs", b"line ",
        b"packed-refs", b".idx", b"config", b"ConfigError", b"perhaps", b"frobnication",
    ]  # fmt: skip
    for what, (road, said) in asked(b"damaged.git", tip).items():
        answer = site.git(said) if road == "git" else site.http(said)
        head = answer.partition(b"PACK")[0]
        for word in unsaid:
            assert word not in head, (what, answer[:400])
        if road == "http":
            assert status(answer) in (200, 400, 403, 404, 500), what


@pytest.mark.parametrize("name", ["settings that are none", "packed refs that are none"])
def test_the_log_tells_what_to_mend(site: Site, name: str) -> None:
    repository = site.folder / "small.git"
    DAMAGES[name](repository)
    site.git(greeting(b"git-upload-pack", b"/small.git"), FLUSH)
    site.http(get(b"/small.git/info/refs", query=b"service=git-upload-pack"))
    lines = [line for line in site.log().splitlines() if str(repository) in line]
    assert len(lines) >= 2, site.log()


def test_a_bug_of_ours_tells_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is, and whatever its message holds."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"at {site.folder}")

    for place in ("upload_config", "receive_config"):
        monkeypatch.setattr(f"gitserve.service.requests.{place}", broken)
    for what, (road, said) in asked(b"small.git", b"1" * 40).items():
        if what.startswith(("dumb", "archive")):
            continue
        answer = site.git(said) if road == "git" else site.http(said)
        assert b"internal server error" in answer, (what, answer)
        assert str(site.folder).encode() not in answer
        assert b"RuntimeError" not in answer
    assert f"RuntimeError: at {site.folder}" in site.log()
