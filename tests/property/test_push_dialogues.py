"""Random pushes into copies of one repository: git's receive-pack is asked the same, byte for byte.

Creations, updates, deletions, names that are none, wrong old values, objects
that were not sent, with every capability. The report and all refs afterwards are the same.
``DIALOGUES=5000``: as in ``test_fetch_dialogues``.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.dialogue import Answer, Asked, ask_git, ask_us, pkts, read_answer
from tests.support.gits import Git

LONG = int(os.environ.get("DIALOGUES", "0"))
PROFILE = settings(
    max_examples=LONG or 60,
    derandomize=not LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink],
)


@dataclass
class Target:
    """What is pushed into, and what there is to push."""

    path: Path
    zero: str
    refs: dict[str, str]
    ids: list[str]
    """Commits old and new, a tag, a tree, a blob, and what exists nowhere."""
    packs: dict[str, bytes]

    def __repr__(self) -> str:
        return f"Target({self.path.name})"


def _make(git: Git, folder: Path, object_format: str) -> Target:
    """Four commits in the repository; three more, and a tag, in packs."""
    source = folder / f"source-{object_format}.git"
    git.run("init", "-q", "--bare", f"--object-format={object_format}", "-b", "main", source)
    lines = []
    for number in range(1, 8):
        parent = {5: "from :2\n", 7: "from :4\n"}.get(number, "")
        branch = "side" if number in (5, 6) else "main"
        lines.append(
            f"commit refs/heads/{branch}\nmark :{number}\n"
            f"committer C <c@example.org> {1_700_000_000 + number} +0000\ndata 1\n{number}\n"
            f"{parent}"
            f"M 100644 inline dir/file\ndata 1\n{number}\n"
        )
    git.run("fast-import", "--quiet", cwd=source, stdin="".join(lines).encode())
    git.run("tag", "-a", "-m", "t", "annotated", "main", cwd=source)
    commits = git.lines("rev-list", "--reverse", "main", cwd=source)
    side = git.lines("rev-list", "--reverse", "side", "^main", cwd=source)
    old, new = commits[:4], [*commits[4:], *side]
    tag = git.text("rev-parse", "annotated", cwd=source)
    tree, blob = (
        git.text("rev-parse", f"main{what}", cwd=source) for what in ("^{tree}", ":dir/file")
    )

    path = folder / f"target-{object_format}.git"
    git.run("init", "-q", "--bare", f"--object-format={object_format}", "-b", "main", path)
    git.run("fetch", "-q", source, f"{old[3]}:refs/heads/main", cwd=path)
    for name, value in [("one", old[1]), ("two", old[2]), ("deep/er", old[0])]:
        git.run("update-ref", f"refs/heads/{name}", value, cwd=path)
    git.run("update-ref", "refs/hidden/x", old[0], cwd=path)
    git.run("update-ref", "refs/tags/light", old[2], cwd=path)
    git.run("symbolic-ref", "refs/heads/alias", "refs/heads/two", cwd=path)
    git.run("symbolic-ref", "refs/heads/dangling", "refs/heads/nowhere", cwd=path)
    shutil.rmtree(path / "hooks")

    def pack(*lines: str, revisions: bool = True) -> bytes:
        said = "\n".join([*lines, ""]).encode()
        arguments = ("pack-objects", "--stdout", "-q", *(["--revs", "--thin"] if revisions else []))
        return git.run(*arguments, cwd=source, stdin=said).stdout

    width = len(old[0])
    packs = {
        "all": pack("main", "side", "annotated", f"^{old[3]}"),
        "main": pack("main", f"^{old[3]}"),
        "lacking": pack(*new, revisions=False),
        "none": pack(f"^{old[3]}"),
    }
    return Target(
        path, "0" * width, _refs(git, path),
        [*old, *new, *new, tag, tree, blob, "ab" * (width // 2)], packs,
    )  # fmt: skip


@pytest.fixture(scope="session")
def targets(newest_git: Git, tmp_path_factory: pytest.TempPathFactory) -> list[Target]:
    folder = tmp_path_factory.mktemp("targets")
    return [_make(newest_git, folder, name) for name in ("sha1", "sha256")]


def _refs(git: Git, path: Path) -> dict[str, str]:
    listed = git.lines("for-each-ref", "--format=%(refname) %(objectname) %(symref)", cwd=path)
    return dict(line.split(" ", 1) for line in listed)


NAMES = [
    "refs/heads/main", "refs/heads/main", "refs/heads/one", "refs/heads/two", "refs/heads/deep/er",
    "refs/heads/new", "refs/heads/new/er", "refs/heads/deep", "refs/heads/one/x", "refs/tags/light",
    "refs/tags/annotated", "refs/heads/alias", "refs/heads/dangling", "refs/heads/nowhere",
    "refs/hidden/x", "refs/hidden/y", "refs/odd/x",
]  # fmt: skip
BAD_NAMES = [
    "HEAD", "main", "refs/heads/../x", "refs/heads/x.lock", "refs/heads/a b", "refs/heads/",
    "refs/x", "refs", "refs/heads/~x", "refs/heads/.x", "refs/heads/a..b", "refs/heads/@{x",
    "refs/heads/x/", "refs//heads/x", "FETCH_HEAD", "/refs/heads/x", "refs/heads/é",
    "refs/heads/-x",
    "refs/heads/\x7f", "refs/heads/a\tb", "refs/heads/x.", "../refs/heads/x",
]  # fmt: skip
CAPABILITIES = [
    "report-status", "report-status-v2", "side-band-64k", "atomic", "quiet", "delete-refs",
    "ofs-delta",
]  # fmt: skip
SETTINGS = [
    ("receive.denyDeletes", "true"),
    ("receive.denyNonFastForwards", "true"),
    ("receive.denyCurrentBranch", "ignore"),
    ("receive.denyDeleteCurrent", "ignore"),
    ("receive.denyDeleteCurrent", "warn"),
    ("receive.hideRefs", "refs/hidden"),
    ("transfer.hideRefs", "refs/hidden"),
    ("receive.advertiseAtomic", "false"),
    ("core.logAllRefUpdates", "true"),
    ("receive.maxInputSize", "100"),
    ("receive.unpackLimit", "1"),
]


@st.composite
def pushes(draw: Any, targets: list[Target]) -> tuple[Target, Asked]:
    """One push."""
    target = draw(st.sampled_from(targets))
    listed = draw(st.lists(st.sampled_from(CAPABILITIES), unique=True))
    if draw(st.integers(0, 4)):
        listed.append("report-status")
    object_format = "sha1" if len(target.zero) == 40 else "sha256"
    listed.append(f"object-format={object_format}")
    lines: list[Any] = []
    needs_pack = False
    # each name once: what becomes of one that is named twice has changed from git to git
    drawn_names = st.one_of(*[st.sampled_from(NAMES)] * 6, st.sampled_from(BAD_NAMES))
    for number, name in enumerate(draw(st.lists(drawn_names, min_size=1, max_size=4, unique=True))):
        old = target.refs.get(name, target.zero).split()[0]
        if not draw(st.integers(0, 5)):
            old = draw(st.sampled_from([*target.ids, target.zero]))
        new = draw(st.sampled_from(target.ids))
        if not draw(st.integers(0, 3)):
            new = target.zero
        needs_pack = needs_pack or new != target.zero
        tail = "\0" + " ".join(dict.fromkeys(listed)) if number == 0 else ""
        lines.append(f"{old} {new} {name}{tail}".encode())
    said = pkts([*lines, None])
    if needs_pack:
        said += target.packs[
            draw(st.sampled_from(["all", "all", "all", "main", "lacking", "none"]))
        ]
    chosen = draw(st.lists(st.sampled_from(SETTINGS), max_size=2, unique=True))
    asked = Asked(
        "receive-pack", target.path, said, draw(st.integers(0, 1)), draw(st.booleans()),
        tuple(chosen), draw(st.sampled_from([1 << 16, 100])),
    )  # fmt: skip
    return target, asked


def report(answer: Answer) -> list[bytes]:
    """The lines of the report, wherever it came."""
    lines: list[Any] = []
    for item in answer.items:
        if isinstance(item, bytes) and item[:1] == b"\1":
            lines += read_answer(item[1:]).items
        elif isinstance(item, bytes) and item.startswith((b"unpack ", b"ok ", b"ng ", b"option ")):
            lines.append(item)
        elif isinstance(item, bytes) and item[:4] in (b"ERR ", b"BAD "):
            lines.append(item[:4])
    return [line for line in lines if line is not None]


def compare(target: Target, asked: Asked, git: Git) -> None:
    ours_at, git_at = (target.path.with_name(f"{name}.git") for name in ("ours", "gits"))
    for place in (ours_at, git_at):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(target.path, place, symlinks=True)
    theirs = ask_git(git, replace(asked, repository=git_at))
    ours = ask_us(replace(asked, repository=ours_at))
    refs, expected_refs = _refs(git, ours_at), _refs(git, git_at)
    shown = (
        f"{asked.said.partition(b'PACK')[0]!r} {asked.settings}\n"
        f"git: {report(theirs)} {theirs.remarks!r} {theirs.failed}\n"
        f"ours: {report(ours)} {ours.remarks!r} {ours.failed}"
    )
    offered = ("receive.advertiseAtomic", "false") not in asked.settings
    is_atomic = offered and b"atomic" in asked.said[:400]
    if is_atomic and len(report(theirs)) > 2 and any(line[:3] == b"ng " for line in report(theirs)):
        # Whose reason all are told depends on the order of the checks; git, after some of them,
        # does the others nevertheless.
        assert refs == target.refs, shown
        assert all(line[:3] != b"ok " for line in report(ours)), shown
        return
    assert refs == expected_refs, shown
    said, expected = (normal(report(answer)) for answer in (ours, theirs))
    assert remarks(ours) == remarks(theirs), shown
    assert said == expected, shown
    assert unsound(git, ours_at) == unsound(git, git_at) == set(), shown


EXPECTED = ("error: refs/heads/dangling:", "error: refs/heads/alias:", "notice:")


def unsound(git: Git, path: Path) -> set[str]:
    """What fsck finds, but for symbolic refs without a target, which are no fault."""
    done = git.run("fsck", "--strict", "--no-dangling", "--no-progress", cwd=path, check=False)
    said = (done.stdout + done.stderr).decode().splitlines()
    return {line for line in said if not line.startswith(EXPECTED)}


def normal(lines: list[bytes]) -> list[bytes]:
    return [line.rstrip(b"\n") for line in lines]


def remarks(answer: Answer) -> list[bytes]:
    """What is said of each ref, without progress; why one cannot be moved is said by
    whichever stage sees it first."""
    said = re.findall(rb"^(?:error|warning): .*", answer.remarks, re.MULTILINE)
    return sorted(
        re.sub(rb"cannot (?:lock|update) ref '[^']*': .*", rb"cannot", line) for line in said
    )


def test_pushes(targets: list[Target], newest_git: Git) -> None:
    @PROFILE
    @given(pushes(targets))
    def check(drawn: tuple[Target, Asked]) -> None:
        compare(*drawn, newest_git)

    check()
