"""The same dialogue into dulwich's handlers and into ours; what differs is listed here."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dulwich.server
import gitserve.server
import pytest
from dulwich.repo import Repo as DulwichRepo
from gitserve.repo import Repo

from tests.parity.talks import EMPTY_PACK, ZERO, pkts, unpkts
from tests.support.gits import Git, object_ids

BANDS = b"side-band-64k thin-pack ofs-delta"

ONLY_DULWICH = {b"no-done"}
"""Capabilities that dulwich offers on a connection: git offers no-done to stateless clients only,
as haves on their way would be taken for a new request."""

ONLY_OURS = {
    b"deepen-since", b"deepen-not", b"deepen-relative", b"side-band", b"report-status-v2",
}  # fmt: skip


@pytest.fixture
def pair(project: Repo) -> Iterator[tuple[Any, Any]]:
    """Two copies of one repository, both dulwich's."""
    copy = f"{project.path}-copy"
    shutil.copytree(project.path, copy)
    with DulwichRepo(project.path) as one, DulwichRepo(copy) as other:
        yield one, other


def hear(module: Any, name: str, repo: Any, said: bytes, **options: Any) -> bytes:
    out, source = io.BytesIO(), io.BytesIO(said)
    handler = getattr(module, name)(
        module.DictBackend({"/": repo}),
        ["/"],
        module_protocol(module).ReceivableProtocol(source.read, out.write),
        **options,
    )
    handler.handle()
    return out.getvalue()


def module_protocol(module: Any) -> Any:
    import dulwich.protocol
    import gitserve.protocol

    return dulwich.protocol if module is dulwich.server else gitserve.protocol


def both(name: str, pair: tuple[Any, Any], said: bytes, **options: Any) -> tuple[Any, Any]:
    theirs = unpkts(hear(dulwich.server, name, pair[0], said, **options))
    ours = unpkts(hear(gitserve.server, name, pair[1], said, **options))
    return theirs, ours


@pytest.mark.parametrize("name", ["UploadPackHandler", "ReceivePackHandler"])
def test_advertisements(name: str, pair: tuple[Any, Any]) -> None:
    theirs, ours = both(name, pair, b"0000", advertise_refs=True)
    offers = []
    for lines in (theirs, ours):
        lines[0], _, listed = lines[0].partition(b"\0")
        lines[0] = lines[0].rstrip(b"\n") + b"\n"
        offers.append({word for word in listed.split() if not word.startswith(b"agent=")})
    if name == "ReceivePackHandler":
        # git tells no HEAD to those who push
        theirs = [line for line in theirs if line is None or not line.endswith(b" HEAD\n")]
        offers[0] = {word for word in offers[0] if not word.startswith(b"symref=")}
    assert ours == theirs
    assert offers[0] - offers[1] <= ONLY_DULWICH
    assert offers[1] - offers[0] <= ONLY_OURS


def ids(git: Git, pair: tuple[Any, Any]) -> list[bytes]:
    return [i.encode() for i in git.lines("rev-list", "main", cwd=Path(pair[0].path))]


@pytest.mark.parametrize("manner", [b"", b"multi_ack", b"multi_ack_detailed"])
@pytest.mark.parametrize("has", [0, 1, 3])
def test_acknowledgments(
    manner: bytes, has: int, pair: tuple[Any, Any], newest_git: Git, tmp_path: Path
) -> None:
    commits = ids(newest_git, pair)
    haves = [b"have %b\n" % commit_id for commit_id in commits[10 : 10 + has]]
    want = b" ".join([b"want", commits[0], *filter(None, [manner]), BANDS])
    lines = [want + b"\n", None, *haves, b"done\n"]
    theirs, ours = both("UploadPackHandler", pair, pkts(*lines))
    packs = []
    for heard in (theirs, ours):
        answers = heard[heard.index(None) + 1 :]
        packs.append(b"".join(line[1:] for line in answers if line and line[:1] == b"\1"))
    texts = [
        [line for line in heard[heard.index(None) + 1 :] if line and line[0] > 3]
        for heard in (theirs, ours)
    ]
    assert texts[0] == texts[1]
    unpacked = []
    for number, pack in enumerate(packs):
        folder = tmp_path / str(number)
        # the pack may be thin: completed from what the client says it has
        shutil.copytree(pair[0].path, folder)
        newest_git.run("index-pack", "--stdin", "--fix-thin", cwd=folder, stdin=pack)
        unpacked.append(object_ids(newest_git, folder, commits[0].decode()))
    assert unpacked[0] == unpacked[1]


def test_depth(pair: tuple[Any, Any], newest_git: Git) -> None:
    tip = ids(newest_git, pair)[0]
    said = pkts(b"want %b %b shallow\n" % (tip, BANDS), b"deepen 2\n", None, b"done\n")
    theirs, ours = both("UploadPackHandler", pair, said)
    boundaries = [
        sorted(line.rstrip(b"\n") for line in heard if line and line.startswith(b"shallow "))
        for heard in (theirs, ours)
    ]
    assert boundaries[0] == boundaries[1] != []


def commands(git: Git, pair: tuple[Any, Any]) -> dict[str, bytes]:
    first, second, *_ = ids(git, pair)
    return {
        "create": b"%b %b refs/heads/new" % (ZERO, second),
        "update": b"%b %b refs/heads/main" % (first, second),
        "delete": b"%b %b refs/heads/main" % (first, ZERO),
        "funny": b"%b %b HEAD" % (first, second),
        "lost": b"%b %b refs/heads/main" % (second, second),
    }


@pytest.mark.parametrize("which", ["create", "update", "delete", "funny", "lost"])
@pytest.mark.parametrize("bands", [b"", b" side-band-64k"])
def test_pushes(which: str, bands: bytes, pair: tuple[Any, Any], newest_git: Git) -> None:
    command = commands(newest_git, pair)[which]
    said = pkts(command + b"\0report-status delete-refs" + bands, None)
    said += b"" if which == "delete" else EMPTY_PACK
    theirs, ours = both("ReceivePackHandler", pair, said)
    reports = []
    for heard in (theirs, ours):
        rest = heard[heard.index(None) + 1 :]
        data = b"".join(line[1:] for line in rest if line and line[:1] == b"\1")
        reports.append(unpkts(data) if bands else [line for line in rest if line is not None])
    if which == "lost":
        # the original says ok to an update that it did not make
        assert reports[0][1] == b"ok refs/heads/main\n"
        assert reports[1][1] == b"ng refs/heads/main failed to update ref\n"
    else:
        strip = [[line for line in report if line] for report in reports]
        assert strip[0] == strip[1]
    assert pair[0].get_refs() == pair[1].get_refs()
