"""Policies hold for handlers under dulwich's names, too, on any road and for any repository."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gitserve.errors import Refused
from gitserve.policy import Denied, Policy, Push, Request, Update
from gitserve.repo import Repo
from gitserve.server import (
    DEFAULT_HANDLERS,
    DictBackend,
    ReceivePackHandler,
    handlers_with,
    serve_command,
)
from gitserve.web import make_wsgi_chain

from tests.support.answers import ask
from tests.support.foreign import FOREIGN
from tests.support.gits import Git
from tests.support.repositories import LITTLE, feed_history, new_bare

Serve = Callable[..., str]
ROADS = ["git", "http"]


class Rules(Policy):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.after_all: list[tuple[bytes, ...]] = []

    def may_read(self, request: Request) -> bool:
        self.requests.append(request)
        if "words" in request.repository:
            raise Denied("not for you")
        return "closed" not in request.repository

    may_write = may_read

    def hidden_refs(self, request: Request) -> list[str]:
        assert request is self.requests[-1]
        return ["refs/heads/secret"]

    def may_update(self, push: Push, update: Update) -> bool:
        if update.ref == b"refs/heads/main":
            raise Denied("not this one")
        header = push.objects.header(update.new)
        return header is not None and header[0] == "commit"

    def after(self, push: Push) -> None:
        self.after_all.append(tuple(update.ref for update in push.updates))


@pytest.fixture
def original(newest_git: Git, tmp_path: Path) -> Path:
    path = tmp_path / "original.git"
    new_bare(newest_git, path)
    feed_history(newest_git, path, 7, LITTLE)
    tree = newest_git.text("rev-parse", "main^{tree}", cwd=path)
    secret = newest_git.text("commit-tree", "-m", "secret", "-p", "main", tree, cwd=path)
    newest_git.run("branch", "secret", secret, cwd=path)
    return path


@pytest.fixture(params=["folder", *sorted(FOREIGN)])
def repo(request: pytest.FixtureRequest, newest_git: Git, original: Path) -> Any:
    if request.param == "folder":
        return Repo(original)
    return FOREIGN[request.param](newest_git, original)


@pytest.fixture
def site(serve: Serve, serve_http: Callable[[Any], str]) -> Callable[..., str]:
    def start(road: str, backend: Any, handlers: Any) -> str:
        if road == "git":
            return serve(backend, handlers=handlers)
        return serve_http(make_wsgi_chain(backend, handlers=handlers))

    return start


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("version", [0, 2])
def test_reading_and_pushing(
    road: str, version: int, repo: Any, site: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    rules = Rules()
    backend = DictBackend({"/open": repo, "/closed": repo, "/words": repo})
    folder = isinstance(repo, Repo)
    url = site(road, backend, handlers_with(rules))
    protocol = ("-c", f"protocol.version={version}")
    work = tmp_path / "work"
    newest_git.run(*protocol, "clone", "-q", f"{url}/open", work)
    asked = rules.requests[-1]
    assert (asked.service, asked.road, asked.address) == ("upload-pack", road, "127.0.0.1")
    assert asked.repository == (repo.path if folder else "/open")
    listed = newest_git.text(*protocol, "ls-remote", f"{url}/open")
    assert "refs/heads/main" in listed
    assert "refs/heads/secret" not in listed
    secret = repo.get_refs()[b"refs/heads/secret"].decode()
    done = newest_git.run(*protocol, "fetch", "-q", "origin", secret, cwd=work, check=False)
    assert done.returncode
    if not folder:
        for name, words in (("closed", b"closed"), ("words", b"not for you")):
            done = newest_git.run(*protocol, "ls-remote", f"{url}/{name}", check=False)
            assert done.returncode
            assert b"refs/" not in done.stdout
            assert words in done.stderr or road == "http"

    newest_git.run("commit", "-q", "--allow-empty", "-m", "mine", cwd=work)
    done = newest_git.run(
        *protocol, "push", "origin", "HEAD:refs/heads/main", "HEAD:refs/heads/new",
        "HEAD:refs/heads/secret", cwd=work, check=False,
    )  # fmt: skip
    assert b"not this one" in done.stderr
    assert b"deny updating a hidden ref" in done.stderr
    new = newest_git.text("rev-parse", "HEAD", cwd=work).encode()
    after = repo.get_refs()
    assert after[b"refs/heads/new"] == new
    assert new not in (after[b"refs/heads/main"], after[b"refs/heads/secret"])
    assert rules.after_all == [(b"refs/heads/new",)]


@pytest.mark.parametrize("road", ROADS)
def test_the_door(road: str, site: Callable[..., str], newest_git: Git, original: Path) -> None:
    closed, words = (original.with_name(f"{name}.git") for name in ("closed", "words"))
    for path in (closed, words):
        newest_git.run("clone", "-q", "--bare", original, path)
    backend = DictBackend({"/closed": Repo(closed), "/words": Repo(words)})
    url = site(road, backend, handlers_with(Rules()))
    said = {}
    for name in ("closed", "words", "nowhere"):
        done = newest_git.run("ls-remote", f"{url}/{name}", check=False)
        assert done.returncode
        assert not done.stdout
        said[name] = done.stderr.replace(name.encode(), b"NAME")
    assert said["closed"] == said["nowhere"]
    assert b"not for you" in said["words"] or road == "http"


def test_the_dumb_protocol(serve_http: Callable[[Any], str], original: Path) -> None:
    repo = Repo(original)
    rules = Rules()
    url = serve_http(
        make_wsgi_chain(DictBackend({"/open": repo}), dumb=True, handlers=handlers_with(rules))
    )
    told = ask(f"{url}/open/info/refs").content
    assert rules.requests[-1].service == "files"
    assert b"refs/heads/main" in told
    assert b"secret" not in told
    for path in (original / "objects").glob("*/*"):
        if path.suffix in ("", ".pack", ".idx"):
            answer = ask(f"{url}/open/objects/{path.parent.name}/{path.name}")
            assert answer.status == 404


def test_the_policy_is_asked_once_for_a_file(
    serve_http: Callable[[Any], str], newest_git: Git, original: Path
) -> None:
    class Open(Rules):
        def hidden_refs(self, request: Request) -> list[str]:
            return []

    rules = Open()
    backend = DictBackend({"/open": Repo(original)})
    url = serve_http(make_wsgi_chain(backend, dumb=True, handlers=handlers_with(rules)))
    secret = newest_git.text("rev-parse", "secret", cwd=original)
    for path in ("info/refs", "HEAD", "objects/info/packs", f"objects/{secret[:2]}/{secret[2:]}"):
        assert ask(f"{url}/open/{path}").status == 200, path
        (asked,) = rules.requests
        assert (asked.service, asked.road) == ("files", "http")
        rules.requests.clear()


def test_who_asks_nobody_is_asked_all_the_same(original: Path) -> None:
    class Closed(Policy):
        def may_read(self, request: Request) -> bool:
            return request.road != "stdio"

    handler = handlers_with(Closed())[b"git-upload-pack"]
    backend = DictBackend({"/": Repo(original)})
    out = io.BytesIO()
    with pytest.raises(Refused):
        serve_command(handler, ["", "/"], backend, io.BytesIO(b"0000"), out)
    assert not out.getvalue()


def test_subclasses_of_one_s_own_and_what_is_no_handler() -> None:
    class Mine(ReceivePackHandler):
        pass

    def function(*_arguments: object) -> Iterator[None]:
        raise AssertionError

    rules = Rules()
    made = handlers_with(rules, {b"git-receive-pack": Mine, b"other": function, b"none": None})
    assert issubclass(made[b"git-receive-pack"], Mine)
    assert made[b"git-receive-pack"].options.policy is rules
    assert (made[b"other"], made[b"none"]) == (function, None)
    assert Mine.options.policy is None
    assert set(handlers_with(rules)) == set(DEFAULT_HANDLERS)
