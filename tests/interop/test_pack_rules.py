"""``pack.*`` of a repository, as its clients notice it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.gits import Git, assert_sound
from tests.support.server import Programs, Server

pytestmark = pytest.mark.ours


@pytest.fixture
def client(newest_git: Git, programs: Programs, server: Server) -> Client:
    return Client(newest_git, 2, "daemon", programs, server)


def totals(client: Client, repository: Path, to: Path) -> dict[str, int]:
    """What the last line of progress counts."""
    done = client.run("clone", "--bare", "--progress", client.url(repository), to)
    assert_sound(client.git, to)
    last = re.findall(r"remote: (Total .*)", done.stderr.decode())[-1]
    pairs = re.findall(r"(\d+) \(delta (\d+)\)|(pack-reused) (\d+)", last)
    (objects, deltas, *_), _, (*_, verbatim) = pairs
    return {"objects": int(objects), "deltas": int(deltas), "verbatim": int(verbatim)}


def configure(client: Client, repository: Path, key: str, value: str) -> None:
    client.git.run("config", key, value, cwd=repository)


def test_allow_pack_reuse(client: Client, lively: Path, tmp_path: Path) -> None:
    client.git.run("repack", "-adbq", cwd=lively)
    reused = totals(client, lively, tmp_path / "reused")
    assert reused["verbatim"] == reused["objects"]
    configure(client, lively, "pack.allowPackReuse", "false")
    assert totals(client, lively, tmp_path / "other") == {
        **reused, "verbatim": 0, "deltas": totals_of_pack(client, lively),
    }  # fmt: skip
    configure(client, lively, "pack.allowPackReuse", "multi")
    assert totals(client, lively, tmp_path / "again") == reused


def totals_of_pack(client: Client, repository: Path) -> int:
    """Deltas in the repository's only pack, by git's count."""
    (index,) = (repository / "objects/pack").glob("*.idx")
    lines = client.git.run("verify-pack", "-v", index, cwd=repository).stdout.splitlines()
    return sum(len(line.split()) == 7 for line in lines)


def loosened(client: Client, repository: Path) -> None:
    """All objects loose, so that each delta has to be searched."""
    client.git.run("repack", "-adq", cwd=repository)
    for index in list((repository / "objects/pack").glob("*.idx")):
        pack = index.with_suffix(".pack")
        content = pack.read_bytes()
        for file in (repository / "objects/pack").glob(f"{index.stem}.*"):
            file.unlink()
        client.git.run("unpack-objects", "-q", cwd=repository, stdin=content)


@pytest.mark.parametrize("key", ["pack.window", "pack.depth"])
def test_no_deltas_where_none_are_wanted(
    client: Client, lively: Path, tmp_path: Path, key: str
) -> None:
    loosened(client, lively)
    configure(client, lively, key, "0")
    assert totals(client, lively, tmp_path / "none")["deltas"] == 0
    client.git.run("config", "--unset", key, cwd=lively)
    assert totals(client, lively, tmp_path / "some")["deltas"] > 0


def test_window_memory(client: Client, lively: Path, tmp_path: Path) -> None:
    """A window that holds nothing finds nothing."""
    loosened(client, lively)
    configure(client, lively, "pack.windowMemory", "1")
    assert totals(client, lively, tmp_path / "none")["deltas"] == 0
    configure(client, lively, "pack.windowMemory", "10m")
    assert totals(client, lively, tmp_path / "some")["deltas"] > 0


def test_compression(client: Client, lively: Path, tmp_path: Path) -> None:
    loosened(client, lively)
    configure(client, lively, "pack.compression", "0")
    configure(client, lively, "pack.window", "0")
    plain = size_of_clone(client, lively, tmp_path / "plain")
    client.git.run("config", "--unset", "pack.compression", cwd=lively)
    assert size_of_clone(client, lively, tmp_path / "deflated") < plain


def size_of_clone(client: Client, repository: Path, to: Path) -> int:
    client.run("clone", "--bare", "--quiet", client.url(repository), to)
    assert_sound(client.git, to)
    return sum(pack.stat().st_size for pack in (to / "objects/pack").glob("*.pack"))
