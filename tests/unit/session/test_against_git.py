"""What our sessions send is what git's upload-pack sends, request by request.

Each case is a request in short: ``want c6`` with ids by name, ``|`` a flush, ``:`` a delimiter. The
session's work is done by git's plumbing, so that what differs is the dialogue.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from gitserve.session.config import UploadConfig
from gitserve.session.upload_v0 import upload_v0
from gitserve.session.upload_v2 import upload_v2

from tests.unit.session.git_repository import ENV, GitRepository
from tests.unit.session.player import Played, pkts, play, unpkts


def request(text: str, ids: dict[str, str], caps: str = "") -> bytes:
    """The bytes of a case."""
    items: list[Any] = []
    for word in text.split(","):
        word = word.strip()
        if word in ("|", ":"):
            items.append(None if word == "|" else ...)
            continue
        verb, _, name = word.partition(" ")
        line = f"{verb} {ids.get(name, name)}" if name else verb
        if verb == "want" and caps:
            line, caps = f"{line} {caps}", ""
        items.append(line + "\n")
    return pkts(*items)


def ask_git(
    path: Path, data: bytes, *, stateless: bool, protocol: str = "", allow: tuple[str, ...] = ()
) -> tuple[bytes, bool]:
    """What git sends, and whether it ended well."""
    args = ["git", *[arg for key in allow for arg in ("-c", f"uploadpack.{key}=true")]]
    args += ["upload-pack", *(["--stateless-rpc"] if stateless else []), str(path)]
    done = subprocess.run(
        args, input=data, capture_output=True, check=False, env=ENV | {"GIT_PROTOCOL": protocol}
    )
    return done.stdout, done.returncode == 0


def without_details(data: bytes) -> list[Any]:
    """An answer as packets: one item for all bands, agents and git's own extras left out."""
    items: list[Any] = []
    pack = b""
    for item in unpkts(data):
        if isinstance(item, bytes) and item[:1] == b"\2":
            continue
        if isinstance(item, bytes) and item[:1] == b"\1" and (pack or item[1:5] == b"PACK"):
            pack += item[1:]
            continue
        if pack:
            items.append(_pack(pack))
            pack = b""
        if isinstance(item, bytes):
            if item[:4] == b"PACK":
                item = _pack(item)
            elif item.startswith(b"agent=") or item == b"object-info\n":
                continue  # git 2.39 offers object-info always
            elif b" agent=" in item:
                item = item.partition(b" agent=")[0]
        items.append(item)
    return items


def _pack(pack: bytes) -> str:
    return f"pack of {int.from_bytes(pack[8:12], 'big')} objects"


def check(ours: Played, git_sent: bytes, git_well: bool) -> None:
    if git_well:
        assert without_details(ours.sent) == without_details(git_sent)
        assert ours.error is None
        assert ours.left == ours.sent
        return
    # git tells most errors to its own stderr only. What it told before that, and its ERR lines,
    # are ours too; where it said nothing, we say more.
    assert ours.error is not None
    sent, theirs = without_details(ours.sent), without_details(git_sent)
    if theirs and isinstance(theirs[-1], bytes) and theirs[-1].startswith(b"ERR "):
        assert sent == theirs
    else:
        assert sent[:-1] == theirs
        assert sent[-1].startswith(b"ERR ")


V0_CAPS = [
    "",
    "side-band",
    "side-band-64k",
    "multi_ack side-band-64k",
    "multi_ack_detailed side-band-64k",
    "multi_ack_detailed no-done side-band-64k ofs-delta",
    "multi_ack no-done",
    "multi_ack multi_ack_detailed side-band side-band-64k",
    "no-done side-band-64k thin-pack no-progress include-tag",
]

V0_CASES = [
    "|",
    "want c6, |, done",
    "want c6, |",
    "want c6, |, |",
    "want c6, |, |, done",
    "want c6, want s, want c6, |, done",
    "want c6, |, have Z, done",
    "want c6, |, have c4, done",
    "want c6, |, have c4, |",
    "want c6, |, have c4, |, done",
    "want c6, |, have c4, |, |, done",
    "want c6, |, have Z, |, have c4, |, have Y, |, done",
    "want c6, |, have c4, have Z, |, done",
    "want c6, |, have Z, have c4, have Y, |, have Z, |, done",
    "want c6, want s, |, have s, have Z, have Y, have c6, have Z, have c5, |, done",
    "want c6, want s, |, have c1, have Z, |, done",
    "want c6, want s, |, have c6, have Z, |, have s, |, have Y, |, done",
    "want c6, want s, |, have c6, |, have s, |, done",
    "want c6, |, have t, |, done",
    "want t, |, have c1, |, done",
    "want c6, deepen 1, |, done",
    "want c6, deepen 3, |, |, done",
    "want c6, shallow c6, deepen 3, |, have c6, |, done",
    "want c6, shallow c5, |, done",
    "want c6, deepen-since 1700000450, |, done",
    "want c6, deepen-not side, |, done",
    "want Z, |, done",
    "want c5, |, have c6, |, done",
    "want zz, |, done",
    "junk, |",
    "want c6, deepen 0, |",
    "want c6, deepen 1x, |",
    "want c6, shallow x, |",
    "want c6, filter blob:none, |, done",
    "want c6, |, have zz, done",
    "want c6, |, junk",
    "want c6, |, want s, done",
]


@pytest.mark.parametrize("stateless", [False, True], ids=["stateful", "stateless"])
@pytest.mark.parametrize("caps", V0_CAPS)
def test_v0(
    history: Path, repository: GitRepository, ids: dict[str, str], caps: str, stateless: bool
) -> None:
    config = UploadConfig(stateless=stateless, symrefs=((b"HEAD", b"refs/heads/main"),))
    for case in V0_CASES:
        data = request(case, ids, caps)
        ours = play(upload_v0(config), data, repository.perform)
        try:
            check(ours, *ask_git(history, data, stateless=stateless))
        except AssertionError as error:
            error.add_note(f"request: {case}; error: {ours.error!r}")
            raise


V2_HEAD = "command=fetch, agent=x, object-format=sha1, :, "
V2_FETCHES = [
    "want c6, have c4, |",
    "want c6, have Z, |",
    "want c6, want s, have Z, have s, have Y, |",
    "want c6, want s, have c6, |",
    "want c6, have c4, done, |",
    "want c6, done, |",
    "want c6, |",
    "|",
    "done, |",
    "have c4, |",
    "have c4, wait-for-done, |",
    "have Z, wait-for-done, |",
    "want c6, have c4, wait-for-done, |",
    "want c6, have c4, wait-for-done, done, |",
    "want c6, wait-for-done, |",
    "wait-for-done, |",
    "want Z, |",
    "want c6, want Z, have c4, |",
    "want zz, |",
    "want c6, have zz, |",
    "want c6, frob, |",
    "want c6, done, :, |",
    "want c6, deepen 1, done, |",
    "want c6, shallow c6, deepen 3, have c6, done, |",
    "want c6, shallow c6, deepen 3, have c6, |",
    "want c6, deepen 1, have Z, |",
    "want c6, deepen-since 1700000450, done, |",
    "want c6, deepen-not refs/heads/side, done, |",
    "want c6, deepen-not nosuch, done, |",
    "want c6, deepen 0, done, |",
    "want c6, deepen x, done, |",
    "want c6, deepen-since x, done, |",
    "want c6, filter blob:none, done, |",
    "want c6, sideband-all, done, |",
    "want c6, no-progress, include-tag, ofs-delta, thin-pack, done, |",
    "want t, have c4, include-tag, |",
    "want c1, done",
    "want c6, shallow zz, |",
]
V2_OTHERS = [
    "|",
    "",
    ":",
    "agent=x, |",
    "command=frob, |",
    "command=fetch, frob=x, |",
    "command=fetch, command=ls-refs, |",
    "command=ls-refs, session-id=x, |",
    "command=ls-refs, object-format=sha256, |",
    "command=ls-refs, |",
    "command=fetch, |",
    "command=ls-refs",
    "command=ls-refs, :, peel",
    "command=ls-refs, server-option=a, server-option=b, :, |",
    "command=ls-refs, :, peel, symrefs, unborn, |",
    "command=ls-refs, :, ref-prefix refs/heads/s, ref-prefix HEAD, |",
    "command=ls-refs, :, ref-prefix nothing, |",
    "command=ls-refs, :, frob, |",
    "command=ls-refs, :, peel, :, symrefs, |",
    "command=ls-refs, |, command=fetch, :, want c6, have Z, |, command=fetch, :, want c6, done, |",
    "command=ls-refs, |, command=ls-refs, :, ref-prefix HEAD, |, |",
    "command=ls-refs, |, |, command=ls-refs, |",
]


@pytest.mark.parametrize("stateless", [False, True], ids=["stateful", "stateless"])
@pytest.mark.parametrize("case", [V2_HEAD + case for case in V2_FETCHES] + V2_OTHERS)
def test_v2(
    history: Path, repository: GitRepository, ids: dict[str, str], case: str, stateless: bool
) -> None:
    data = request(case, ids) if case else b""
    ours = play(upload_v2(UploadConfig(stateless=stateless)), data, repository.perform)
    check(ours, *ask_git(history, data, stateless=stateless, protocol="version=2"))


@pytest.mark.parametrize(
    "case",
    [
        "want c6, have c4, sideband-all, |",
        "want c6, have Z, sideband-all, |",
        "want c6, deepen 2, have c5, sideband-all, |",
        "want c6, filter blob:none, done, |",
        "want c6, have c4, filter tree:0, |",
        "want c6, filter blob:none, filter tree:0, done, |",
    ],
)
def test_v2_with_more_allowed(
    history: Path, repository: GitRepository, ids: dict[str, str], case: str
) -> None:
    data = request(V2_HEAD + case, ids)
    config = UploadConfig(stateless=True, allow_filter=True, allow_sideband_all=True)
    ours = play(upload_v2(config), data, repository.perform)
    allow = ("allowFilter", "allowSidebandAll")
    check(ours, *ask_git(history, data, stateless=True, protocol="version=2", allow=allow))


def test_sideband_all_puts_errors_into_a_band(
    history: Path, repository: GitRepository, ids: dict[str, str]
) -> None:
    data = request(V2_HEAD + "sideband-all, want Z, |", ids)
    config = UploadConfig(stateless=True, allow_sideband_all=True)
    ours = play(upload_v2(config), data, repository.perform)
    sent, well = ask_git(
        history, data, stateless=True, protocol="version=2", allow=("allowSidebandAll",)
    )
    assert not well
    assert [item.rstrip(b"\n") for item in unpkts(ours.sent)] == unpkts(sent)


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("allow", [(), ("allowFilter", "allowAnySHA1InWant", "allowSidebandAll")])
def test_advertisements(
    history: Path, repository: GitRepository, version: int, allow: tuple[str, ...]
) -> None:
    config = UploadConfig(
        stateless=True,
        advertise_only=True,
        symrefs=((b"HEAD", b"refs/heads/main"),),
        allow_filter=bool(allow),
        allow_any_sha1_in_want=bool(allow),
        allow_sideband_all=bool(allow),
    )
    session = upload_v2(config) if version == 2 else upload_v0(config, version=version)
    ours = play(session, b"", repository.perform)
    args = ["git", *[arg for key in allow for arg in ("-c", f"uploadpack.{key}=true")]]
    theirs = subprocess.run(
        [*args, "upload-pack", "--http-backend-info-refs", str(history)],
        capture_output=True,
        check=True,
        env=ENV | {"GIT_PROTOCOL": f"version={version}"},
    )
    check(ours, theirs.stdout, True)
