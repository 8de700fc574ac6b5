"""Real git over HTTP: the same clones, fetches and pushes as over the other roads, and its own.

What is the same is the other modules' tests, collected here once more with this road's server.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.interop.test_clone import (  # noqa: F401
    test_clone,
    test_depth,
    test_detached_head,
    test_empty_repository,
    test_empty_repository_in_sha256,
    test_from_a_shallow_repository,
    test_ls_remote,
    test_tags_follow_the_branch,
)
from tests.interop.test_fetch import (  # noqa: F401
    TestShallow,
    test_many_rounds_of_negotiation,
    test_new_commits,
    test_nothing_new,
    test_rewritten_branch,
)
from tests.interop.test_partial_clone import (  # noqa: F401
    test_what_is_left_out_comes_later,
    test_where_filters_are_not_offered,
)
from tests.interop.test_push import (  # noqa: F401
    clone,
    test_atomic_is_all_or_nothing,
    test_declined_push_leaves_no_objects,
    test_deletion,
    test_fast_forward,
    test_forced,
    test_from_a_shallow_clone,
    test_hooks_decide_and_speak,
    test_into_an_empty_repository,
    test_into_an_empty_repository_in_sha256,
    test_new_branch_and_tags,
)
from tests.support.client import Client, RoadName
from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.repositories import empty, new_bare
from tests.support.server import Programs, Server, http_programs, running_server

pytestmark = pytest.mark.ours

Form = Callable[[str], Path]

MAX_GROWTH = 64 << 20
"""Bytes that a transfer may add to the server's own memory, whatever it transfers."""


@pytest.fixture(scope="session")
def programs() -> Programs:
    return http_programs()


@pytest.fixture(scope="session")
def http_daemon(
    programs: Programs, base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log_path = tmp_path_factory.mktemp("log") / "http.log"
    options = ["--export-all", "--enable=receive-pack", "--workers=1"]
    with running_server(programs, base, log_path, options) as server:
        server.scheme = "http"
        yield server


@pytest.fixture
def server(http_daemon: Server) -> Iterator[Server]:
    http_daemon.new_log()
    yield http_daemon
    http_daemon.assert_unharmed()


@pytest.fixture
def road() -> RoadName:
    return "daemon"


def test_push_beyond_the_post_buffer_comes_in_chunks(
    client: Client, lively: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clone"
    client.clone(lively, path)
    (path / "noise").write_bytes(os.urandom(1 << 20))
    client.git.run("add", "noise", cwd=path)
    client.git.run("commit", "-qm", "noise", cwd=path)
    done = client.git.run(
        "-c", "http.postBuffer=65536", *client.options(), "push", "--porcelain", "origin", "main",
        cwd=path, env={"GIT_CURL_VERBOSE": "1"},
    )  # fmt: skip
    assert b"chunked" in done.stderr, "else this test shows nothing"
    assert_sound(client.git, lively)
    assert object_ids(client.git, lively, "main") == object_ids(client.git, path, "main")


def test_compressed_requests(client: Client, lively: Path, tmp_path: Path) -> None:
    path = tmp_path / "clone"
    client.clone(lively, path, "--single-branch")
    done = client.git.run(
        *client.options(), "fetch", "origin", "+refs/heads/*:refs/remotes/origin/*",
        cwd=path, env={"GIT_CURL_VERBOSE": "1", "GIT_TRACE_CURL_NO_DATA": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    other = tmp_path / "other"
    client.git.run("clone", "--quiet", f"file://{lively}", other)
    for number in range(64):
        client.git.run("commit", "-q", "--allow-empty", "-m", f"mine {number}", cwd=other)
    client.git.run("remote", "set-url", "origin", client.url(lively), cwd=other)
    onto = client.git.text("rev-parse", "main", cwd=lively)
    feed_more(client.git, lively, onto)
    fetched = client.git.run(
        *client.options(), "fetch", "origin", cwd=other, env={"GIT_CURL_VERBOSE": "1"}
    )
    assert b"Content-Encoding: gzip" in fetched.stderr, "else this test shows nothing"
    assert refs(client.git, other)["refs/remotes/origin/main"] == client.git.text(
        "rev-parse", "main", cwd=lively
    )


def feed_more(git: Git, repository: Path, onto: str) -> None:
    tree = git.text("rev-parse", f"{onto}^{{tree}}", cwd=repository)
    commit = git.text("commit-tree", tree, "-p", onto, "-m", "more", cwd=repository)
    git.run("update-ref", "refs/heads/main", commit, cwd=repository)


@pytest.mark.parametrize("form_name", ["small", "lively", "scattered", "sha256", "detached"])
def test_dumb_clone(
    newest_git: Git, server: Server, form: Form, tmp_path: Path, form_name: str
) -> None:
    repository, path = form(form_name), tmp_path / "clone.git"
    done = newest_git.run(
        "clone", "--quiet", "--mirror", server.url(repository), path,
        env={"GIT_SMART_HTTP": "0"}, check=form_name != "sha256",
    )  # fmt: skip
    if form_name == "sha256":
        # the dumb protocol has no word for the format, so git takes it for its default
        assert done.returncode != 0 or refs(newest_git, path) == refs(newest_git, repository)
        return
    assert_sound(newest_git, path)
    assert refs(newest_git, path) == refs(newest_git, repository)
    assert object_ids(newest_git, path) == object_ids(newest_git, repository)


def test_dumb_clone_of_an_empty_repository(
    newest_git: Git, server: Server, served: Path, tmp_path: Path
) -> None:
    empty(newest_git, served / "empty.git")
    done = newest_git.run(
        "clone", server.url(served / "empty.git"), tmp_path / "clone", env={"GIT_SMART_HTTP": "0"}
    )
    assert b"empty repository" in done.stderr


def test_nothing_is_pushed_unless_enabled(
    programs: Programs, newest_git: Git, base: Path, lively: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clone"
    newest_git.run("clone", "--quiet", lively, path)
    feed_more(newest_git, path, newest_git.text("rev-parse", "main", cwd=path))
    before = refs(newest_git, lively)
    with running_server(programs, base, tmp_path / "log", ["--export-all"]) as reading:
        reading.scheme = "http"
        push = ["push", reading.url(lively), "+refs/heads/main:refs/heads/new"]
        done = newest_git.run(*push, cwd=path, check=False)
        assert b"403" in done.stderr
        assert refs(newest_git, lively) == before
        newest_git.run("config", "http.receivepack", "true", cwd=lively)
        newest_git.run(*push, cwd=path)
        assert "refs/heads/new" in refs(newest_git, lively)


def test_errors_are_told(newest_git: Git, server: Server, served: Path, form: Form) -> None:
    done = newest_git.run("ls-remote", server.url(served / "none.git"), check=False)
    assert b"not found" in done.stderr
    done = newest_git.run(
        "fetch-pack", server.url(form("small")), "refs/heads/none", check=False, cwd=form("small")
    )
    assert done.returncode != 0


def own_memory(server: Server) -> int:
    """Bytes that the worker has for itself: files that it has mapped are not among them."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        for line in Path(f"/proc/{child}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    raise AssertionError("the server has no worker")


class Watch(threading.Thread):
    """Looks at the memory until it is told to stop."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.ended = threading.Event()
        self.before = self.most = own_memory(server)

    def run(self) -> None:
        while not self.ended.is_set():
            self.most = max(self.most, own_memory(self.server))
            time.sleep(0.005)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()


def test_a_large_blob_in_and_out_in_constant_memory(
    newest_git: Git, server: Server, large: Path, served: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clone.git"
    with Watch(server) as out:
        newest_git.run("clone", "--quiet", "--bare", server.url(large), path)
    assert object_ids(newest_git, path) == object_ids(newest_git, large)
    assert out.most - out.before < MAX_GROWTH

    new_bare(newest_git, served / "taken.git")
    with Watch(server) as taking:
        newest_git.run("push", "--quiet", server.url(served / "taken.git"), "main", cwd=path)
    assert object_ids(newest_git, served / "taken.git") == object_ids(newest_git, large)
    assert taking.most - taking.before < MAX_GROWTH
