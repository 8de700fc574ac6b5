"""The messages that only a client reads, and the rule that its dialogues do no IO."""

from __future__ import annotations

import ast
from pathlib import Path

import gitserve.clients
import pytest
from gitserve.wire import archive_request, listed_ref, ref_advertisement
from gitserve.wire.capabilities import format_advertisement, parse_advertisement
from gitserve.wire.listed_ref import ListedRef
from gitserve.wire.malformed import Malformed
from gitserve.wire.pktline import PktDecoder
from hypothesis import given
from hypothesis import strategies as st

A, B = b"a" * 40, b"b" * 40

DIALOGUES = ["archive", "fetch_v0", "fetch_v2", "greeting", "push", "rounds", "offer", "effects"]


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogues_do_no_io(name: str) -> None:
    path = Path(gitserve.clients.__path__[0], name + ".py")
    allowed = {"archive", "effects", "failure", "fetch_order", "greeting", "offer", "rounds"}
    for node in ast.walk(ast.parse(path.read_text())):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("gitserve."):
            part, _, rest = module.removeprefix("gitserve.").partition(".")
            assert part in ("wire", "errors") or (part == "clients" and rest in allowed), module
        assert module.split(".")[0] not in ("os", "socket", "subprocess", "pathlib"), module
        assert not isinstance(node, ast.Import), path


def test_advertisement() -> None:
    shown = ref_advertisement.parse(
        [
            A + b" HEAD\0multi_ack symref=HEAD:refs/heads/x symref=refs/y:refs/z agent=git/2\n",
            A + b" refs/heads/x\n",
            B + b" refs/tags/t",
            A + b" refs/tags/t^{}\n",
            B + b" .have\n",
            b"shallow " + B + b"\n",
        ]
    )
    assert shown.refs == {b"HEAD": A, b"refs/heads/x": A, b"refs/tags/t": B}
    assert shown.peeled == {b"refs/tags/t": A}
    assert shown.symrefs == {b"HEAD": b"refs/heads/x", b"refs/y": b"refs/z"}
    assert (shown.haves, shown.shallow) == ((B,), (B,))
    assert shown.capabilities[b"agent"] == b"git/2"
    assert shown.object_format == "sha1"


def test_advertisement_without_refs() -> None:
    line = b"0" * 64 + b" capabilities^{}\0object-format=sha256"
    shown = ref_advertisement.parse([line])
    assert (shown.refs, shown.peeled, shown.object_format) == ({}, {}, "sha256")


def test_listed_refs() -> None:
    assert listed_ref.parse(A + b" refs/x\n", 40) == ListedRef(b"refs/x", A)
    assert listed_ref.parse(A + b" HEAD symref-target:refs/x peeled:" + B + b" new:y", 40) == (
        ListedRef(b"HEAD", A, b"refs/x", B)
    )
    assert listed_ref.parse(b"unborn HEAD symref-target:refs/x", 40) == (
        ListedRef(b"HEAD", None, b"refs/x")
    )
    for wrong in (b"", A, A + b" ", A[1:] + b" x", A + b" x peeled:y"):
        with pytest.raises(Malformed):
            listed_ref.parse(wrong, 40)


def test_capabilities_of_v2() -> None:
    offered: list[tuple[bytes, bytes | None]] = [(b"agent", b"x"), (b"fetch", b"a b"), (b"y", None)]
    run = PktDecoder(format_advertisement(offered)).take_run()
    assert run
    assert parse_advertisement(run.lines[1:]) == dict(offered)


@given(st.lists(st.binary(min_size=1, max_size=80).filter(lambda line: b"\n" not in line)))
def test_archive_arguments(arguments: list[bytes]) -> None:
    run = PktDecoder(archive_request.format(arguments)).take_run()
    assert run
    assert archive_request.parse(run.lines) == tuple(arguments)


@given(st.lists(st.binary(max_size=200)))
def test_any_lines_are_refs_or_malformed(lines: list[bytes]) -> None:
    for parse in (
        lambda: ref_advertisement.parse(lines),
        lambda: [listed_ref.parse(line, 40) for line in lines],
        lambda: archive_request.parse(lines),
    ):
        try:
            parse()
        except Malformed:
            continue
