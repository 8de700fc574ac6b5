"""The reference-transaction hook is told what git (since 2.50) tells it, and is believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.interop.test_hooks import add_hook, client, clone  # noqa: F401
from tests.support.client import Client
from tests.support.gits import Git, assert_sound, refs
from tests.support.repositories import new_bare

pytestmark = pytest.mark.ours

RECORDER = """#!/bin/sh
{ echo "== $1"; sed 's/^/= /'; } >>seen
git for-each-ref --format='at %(objectname) %(refname)' refs/heads/main >>seen
if test "$(cat refuse 2>/dev/null)" = "$1"; then echo no "$1" thanks >&2; exit 1; fi
"""


@pytest.fixture(params=["files", "reftable"])
def lively(
    request: pytest.FixtureRequest, form: Callable[[str], Path], served: Path, newest_git: Git
) -> Path:
    """The generated history, with refs kept in both ways, and the hook."""
    repository = served / "lively.git"
    new_bare(newest_git, repository, f"--ref-format={cast(str, request.param)}")
    newest_git.run("fetch", "-q", str(form("lively")), "+refs/*:refs/*", cwd=repository)
    add_hook(repository, "reference-transaction", RECORDER)
    return repository


def told(repository: Path) -> list[str]:
    """What the hook wrote since the last time."""
    seen = repository / "seen"
    lines = seen.read_text().splitlines() if seen.exists() else []
    seen.unlink(missing_ok=True)
    return lines


def test_states_and_lines(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    old = refs(client.git, lively)
    new = client.git.text("rev-parse", "main", cwd=clone)
    main, topic, null = old["refs/heads/main"], old["refs/heads/topic"], "0" * 40
    client.push(clone, "main", ":topic", "main:refs/tags/new")
    gone = [f"= {topic} {null} refs/heads/topic"]
    moved = [f"= {main} {new} refs/heads/main", f"= {null} {new} refs/tags/new"]
    before, after = f"at {main} refs/heads/main", f"at {new} refs/heads/main"
    assert told(lively) == [
        *("== prepared", *gone, before), *("== committed", *gone, before),
        *("== prepared", *moved, before), *("== committed", *moved, after),
    ]  # fmt: skip
    client.push(clone, "--atomic", ":refs/tags/new", "main~1:refs/heads/other")
    parent = client.git.text("rev-parse", "main~1", cwd=clone)
    both = sorted([f"= {new} {null} refs/tags/new", f"= {null} {parent} refs/heads/other"])
    found = [line for line in told(lively) if line.startswith("=")]
    assert (found[0], sorted(found[1:3])) == ("== prepared", both)
    assert (found[3], sorted(found[4:])) == ("== committed", both)
    assert_sound(client.git, lively)


@pytest.mark.parametrize("atomic", [False, True], ids=["each", "atomic"])
def test_what_is_prepared_can_be_refused(
    client: Client,  # noqa: F811
    lively: Path,
    clone: Path,  # noqa: F811
    atomic: bool,
) -> None:
    before = refs(client.git, lively)
    (lively / "refuse").write_text("prepared\n")
    options = ["--atomic"] if atomic else []
    done = client.push(clone, *options, "main", "main:refs/heads/new", check=False)
    assert done.returncode == 1
    assert done.stdout.count(b"(ref updates aborted by hook)") == 2
    assert b"remote: no prepared thanks" in done.stderr
    assert b"remote: error: ref updates aborted by hook" in done.stderr
    assert refs(client.git, lively) == before
    assert [line for line in told(lively) if line[:2] == "=="] == ["== prepared", "== aborted"]
    assert not list(lively.rglob("*.lock"))


def test_later_it_is_too_late(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    (lively / "refuse").write_text("committed\n")
    done = client.push(clone, "main")
    assert b"no committed thanks" in done.stderr
    new = client.git.text("rev-parse", "main", cwd=clone)
    assert refs(client.git, lively)["refs/heads/main"] == new


def test_what_fails_before_is_not_told(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    done = client.push(clone, "main:refs/heads/main/below", check=False)
    assert done.returncode == 1
    assert told(lively) == []
    done = client.push(clone, "main:refs/heads/main/below", "main:refs/heads/well", check=False)
    assert done.returncode == 1
    lines = told(lively)
    assert "refs/heads/main/below" not in "".join(lines)
    assert "== committed" in lines


def test_a_hook_that_cannot_run_is_a_refusal(client: Client, lively: Path, clone: Path) -> None:  # noqa: F811
    add_hook(lively, "reference-transaction", "#!/does/not/exist\n")
    before = refs(client.git, lively)
    assert client.push(clone, "main", check=False).returncode == 1
    assert refs(client.git, lively) == before


def test_symbolic_refs_are_told_by_their_targets(
    client: Client,  # noqa: F811
    lively: Path,
    clone: Path,  # noqa: F811
) -> None:
    client.git.run("symbolic-ref", "refs/heads/alias", "refs/heads/main", cwd=lively)
    told(lively)
    client.push(clone, "main:alias")
    lines = [line for line in told(lively) if line.startswith("= ")]
    assert [line.split()[-1] for line in lines] == ["refs/heads/main"] * 2
