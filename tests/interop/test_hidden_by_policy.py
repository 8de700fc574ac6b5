"""Refs that a policy hides: not listed, not given, not pushed to, on any road."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.test_policies import ROADS, Site, _site, base
from tests.support.answers import ask
from tests.support.gits import Git, refs

__all__ = ["base"]

pytestmark = pytest.mark.ours

RULES = """
from gitserve.policy import Policy

class Hiding(Policy):
    def hidden_refs(self, request):
        assert request.service in ("upload-pack", "receive-pack", "upload-archive", "files")
        yield "refs/heads/secret"
        yield b"refs/tags/secret/"
        yield from ("refs/heads/team", "!refs/heads/team/open")

class NoHead(Policy):
    def hidden_refs(self, request):
        return ["refs/heads/main"]

class Failing(Policy):
    def hidden_refs(self, request):
        raise ValueError("inside")

class Nothing(Policy):
    def hidden_refs(self, request):
        return None

class OneWord(Policy):
    def hidden_refs(self, request):
        return "refs/heads/secret"

class Empty(Policy):
    def hidden_refs(self, request):
        return ["refs/heads/secret", "/"]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    return path


@pytest.fixture
def stored(newest_git: Git, base: Path) -> Path:
    """Commits and a tag that only hidden refs reach; the repository itself allows everything."""
    repository = base / "open.git"
    for name in ("secret", "team/closed", "team/open"):
        tree = newest_git.text("rev-parse", "main^{tree}", cwd=repository)
        made = newest_git.text("commit-tree", "-m", name, "-p", "main", tree, cwd=repository)
        newest_git.run("branch", name, made, cwd=repository)
    newest_git.run("tag", "-a", "-m", "hidden", "secret/tag", "main", cwd=repository)
    for key in ("allowAnySHA1InWant", "allowTipSHA1InWant", "allowRefInWant"):
        newest_git.run("config", f"uploadpack.{key}", "true", cwd=repository)
    newest_git.run("config", "uploadarchive.allowUnreachable", "true", cwd=repository)
    newest_git.run("config", "daemon.uploadarch", "true", cwd=repository)
    newest_git.run("config", "http.uploadArchive", "true", cwd=repository)
    newest_git.run("config", "http.getanyfile", "true", cwd=repository)
    # what the repository shows again, it does not show where the policy hides it
    newest_git.run("config", "transfer.hideRefs", "!refs/heads/secret", cwd=repository)
    return repository


@pytest.fixture(params=ROADS)
def site(
    request: pytest.FixtureRequest, newest_git: Git, base: Path, rules: Path, tmp_path: Path
) -> Iterator[Site]:
    with _site(request.param, newest_git, base, f"{rules}:Hiding", tmp_path / "log") as made:
        yield made


def address(site: Site) -> str:
    """So that git does not copy the files of a local repository by itself."""
    url = site.url("open.git")
    return f"file://{url}" if url.startswith("/") else url


def seen(site: Site, version: int) -> set[str]:
    done = site.run(
        "-c", f"protocol.version={version}", "ls-remote",
        *site.program("--upload-pack", "upload-pack"), site.url("open.git"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {line.split("\t")[1] for line in done.stdout.decode().splitlines()}


VISIBLE = {"HEAD", "refs/heads/alias", "refs/heads/main", "refs/heads/team/open", "refs/tags/v1"}


@pytest.mark.parametrize("version", [0, 2])
def test_reading(site: Site, stored: Path, tmp_path: Path, version: int) -> None:
    git, work = site.git, tmp_path / "work"
    assert seen(site, version) == VISIBLE
    secret, tag, closed = (
        git.text("rev-parse", name, cwd=stored)
        for name in ("secret", "refs/tags/secret/tag", "team/closed")
    )
    option = site.program("--upload-pack", "upload-pack")
    done = site.run(
        "-c", f"protocol.version={version}", "clone", "-q", "--bare", "--mirror", *option,
        address(site), str(work),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(refs(git, work)) == VISIBLE - {"HEAD"}
    for hidden in (secret, tag, closed):
        assert git.run("cat-file", "-e", hidden, cwd=work, check=False).returncode
        fetched = site.run(
            "-c", f"protocol.version={version}", "fetch", "-q", *option, "origin", hidden, cwd=work
        )
        assert fetched.returncode
        assert b"not our ref" in fetched.stderr or b"unadvertised object" in fetched.stderr
    for name in ("refs/heads/secret", "refs/tags/secret/tag"):
        fetched = site.run(
            "-c", f"protocol.version={version}", "fetch", "-q", *option, "origin", name, cwd=work
        )
        assert fetched.returncode
    shallow = site.run(
        "-c", f"protocol.version={version}", "fetch", "-q", *option,
        "--shallow-exclude=refs/heads/secret", "origin", "main", cwd=work,
    )  # fmt: skip
    assert shallow.returncode
    # an older commit that a visible ref reaches may be had by its id
    main = git.text("rev-parse", "main", cwd=stored)
    assert site.run("fetch", "-q", *option, "origin", main, cwd=work).returncode == 0


def test_pushing(site: Site, stored: Path, tmp_path: Path) -> None:
    git, work = site.git, tmp_path / "work"
    assert site.clone("open.git", work).returncode == 0
    git.run("symbolic-ref", "refs/heads/other", "refs/heads/secret", cwd=stored)
    git.run("commit", "-q", "--allow-empty", "-m", "two", cwd=work)
    before = refs(git, stored)
    for name in ("heads/secret", "heads/other", "tags/secret/new", "heads/team/new"):
        done = site.push(work, "-f", "origin", f"HEAD:refs/{name}")
        assert done.returncode
        assert b"deny updating a hidden ref" in done.stderr
    assert refs(git, stored) == before
    assert site.push(work, "-f", "origin", "HEAD:refs/heads/team/open").returncode == 0


def test_archives(site: Site, stored: Path, tmp_path: Path) -> None:
    option = site.program("--exec", "upload-archive")
    secret = site.git.text("rev-parse", "secret", cwd=stored)

    def archive(tree: str) -> subprocess.CompletedProcess[bytes]:
        return site.run(
            "archive", *option, f"--remote={site.url('open.git')}", tree, cwd=tmp_path
        )  # fmt: skip

    if not option and not site.url("x").startswith("http"):
        # off over git:// unless the server says otherwise
        return
    assert archive("main").returncode == 0
    for hidden in ("secret", "refs/heads/secret", secret):
        assert archive(hidden).returncode


def test_the_dumb_protocol(
    newest_git: Git, base: Path, stored: Path, rules: Path, tmp_path: Path
) -> None:
    with _site("http", newest_git, base, f"{rules}:Hiding", tmp_path / "log") as site:
        url = site.url("open.git")
        told = ask(f"{url}/info/refs").content.decode()
        names = {line.split("\t")[1] for line in told.splitlines()}
        assert names == VISIBLE - {"HEAD"}
        loose = next(path for path in (stored / "objects").glob("[0-9a-f][0-9a-f]/*"))
        assert ask(f"{url}/objects/{loose.parent.name}/{loose.name}").status == 403


@pytest.mark.parametrize("road", ["git", "http", "stdio"])
@pytest.mark.parametrize("version", [0, 2])
def test_head_goes_with_its_branch(
    road: str, version: int, newest_git: Git, base: Path, rules: Path, tmp_path: Path
) -> None:
    with _site(road, newest_git, base, f"{rules}:NoHead", tmp_path / "log") as site:
        assert "HEAD" not in seen(site, version)
        assert "refs/heads/main" not in seen(site, version)
        if road == "http":
            assert b"main" not in ask(f"{site.url('open.git')}/HEAD").content


@pytest.mark.parametrize("road", ["git", "http", "stdio"])
@pytest.mark.parametrize("name", ["Failing", "Nothing", "OneWord", "Empty"])
def test_what_hides_nothing_by_mistake_shows_nothing(
    road: str, name: str, newest_git: Git, base: Path, rules: Path, tmp_path: Path
) -> None:
    with _site(road, newest_git, base, f"{rules}:{name}", tmp_path / "log") as site:
        done = site.ask("open.git")
    assert done.returncode
    assert b"refs/heads" not in done.stdout
    assert b"inside" not in done.stderr
