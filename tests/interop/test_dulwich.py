"""dulwich as client: another implementation of the other end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dulwich.client import GitClient, TCPGitClient
from dulwich.repo import Repo

from tests.support.gits import Git, assert_sound, object_ids, refs
from tests.support.history import HistoryShape
from tests.support.repositories import empty, feed_history
from tests.support.server import HOST, Server

Form = Callable[[str], Path]


def client_to(server: Server) -> GitClient:
    return TCPGitClient(HOST, server.port)


def path_of(server: Server, repository: Path) -> bytes:
    return b"/" + str(repository.relative_to(server.base)).encode()


@pytest.mark.parametrize("name", ["small", "lively", "scattered", "alternates", "many_refs"])
def test_clone(server: Server, form: Form, newest_git: Git, tmp_path: Path, name: str) -> None:
    repository, to = form(name), tmp_path / "clone.git"
    with Repo.init_bare(str(to), mkdir=True) as target:
        result = client_to(server).fetch(path_of(server, repository), target)
        for ref, value in result.refs.items():
            if value is not None and ref.startswith(b"refs/"):
                target.refs[ref] = value
    assert_sound(newest_git, to)
    assert refs(newest_git, to) == refs(newest_git, repository)
    assert object_ids(newest_git, to) == object_ids(newest_git, repository)


def test_depth(server: Server, form: Form, newest_git: Git, tmp_path: Path) -> None:
    repository, to = form("lively"), tmp_path / "clone.git"
    with Repo.init_bare(str(to), mkdir=True) as target:
        result = client_to(server).fetch(path_of(server, repository), target, depth=2)
        main = result.refs[b"refs/heads/main"]
        assert main is not None
        target.refs[b"refs/heads/main"] = main
    assert len(newest_git.lines("log", "--first-parent", "--format=%H", "main", cwd=to)) == 2


def test_fetch_what_is_new(server: Server, lively: Path, newest_git: Git, tmp_path: Path) -> None:
    to = tmp_path / "clone.git"
    newest_git.run("clone", "-q", "--bare", f"file://{lively}", to)
    shape = HistoryShape(commits=10, files=3, lines=20, tag_every=0)
    feed_history(newest_git, lively, 700, shape, "refs/heads/main")
    with Repo(str(to)) as target:
        result = client_to(server).fetch(path_of(server, lively), target)
        main = result.refs[b"refs/heads/main"]
        assert main is not None
        target.refs[b"refs/heads/main"] = main
    assert_sound(newest_git, to)
    assert object_ids(newest_git, to, "main") == object_ids(newest_git, lively, "main")


def test_push(server: Server, form: Form, served: Path, newest_git: Git) -> None:
    mine, repository = form("lively"), served / "new.git"
    empty(newest_git, repository)
    with Repo(str(mine)) as source:
        wanted = {ref: source.refs[ref] for ref in source.refs if ref.startswith(b"refs/")}
        result = client_to(server).send_pack(
            path_of(server, repository), lambda _: wanted, source.generate_pack_data
        )
        assert not any((result.ref_status or {}).values())
    assert_sound(newest_git, repository)
    assert refs(newest_git, repository) == refs(newest_git, mine)
    assert object_ids(newest_git, repository) == object_ids(newest_git, mine)


def test_ls_refs(server: Server, form: Form, newest_git: Git) -> None:
    repository = form("many_refs")
    listed = client_to(server).get_refs(path_of(server, repository)).refs
    plain = {
        name.decode(): value.decode()
        for name, value in listed.items()
        if value is not None and name.startswith(b"refs/") and not name.endswith(b"^{}")
    }
    assert plain == refs(newest_git, repository)
