"""The matrix: every git, every protocol version, both roads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import cast

import pytest
from gitserve.client import HttpGitClient, LocalGitClient, SubprocessGitClient, TCPGitClient

from tests.support.client import Client, RoadName
from tests.support.gits import Git, installed_gits
from tests.support.http_backend import HttpBackend, running_http_backend
from tests.support.our_client import Place
from tests.support.server import (
    HOST,
    Programs,
    Server,
    gitserve_programs,
    oracle_programs,
    running_server,
)


@pytest.fixture(params=installed_gits(), ids=lambda git: f"git-{git.version}")
def git(request: pytest.FixtureRequest) -> Git:
    """Every version of git on this machine."""
    return cast(Git, request.param)


@pytest.fixture(params=[0, 1, 2], ids=lambda version: f"v{version}")
def protocol(request: pytest.FixtureRequest) -> int:
    """The protocol version that the client asks for."""
    return cast(int, request.param)


@pytest.fixture(params=["daemon", "stdio"])
def road(request: pytest.FixtureRequest) -> RoadName:
    """How the client gets there."""
    return cast(RoadName, request.param)


@pytest.fixture
def client(git: Git, protocol: int, road: RoadName, programs: Programs, server: Server) -> Client:
    """One cell of the matrix."""
    return Client(git, protocol, road, programs, server)


PLACES = ["gitserve-daemon", "gitserve-process", "local"] + [
    f"{road}-{git.version}"
    for git in installed_gits()
    for road in ("git-daemon", "git-process", "git-http")
]


@pytest.fixture(scope="session")
def git_daemons(
    base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Git], Server]]:
    """git's own daemon, of any version, started when it is first asked for."""
    options = ["--export-all", *(f"--enable={s}" for s in ("receive-pack", "upload-archive"))]
    with contextlib.ExitStack() as stack:
        logs = tmp_path_factory.mktemp("git-daemons")

        @cache
        def get(git: Git) -> Server:
            programs = oracle_programs(git.path)
            return stack.enter_context(running_server(programs, base, logs / git.version, options))

        yield get


@pytest.fixture(scope="session")
def http_backends(base: Path) -> Iterator[Callable[[Git], HttpBackend]]:
    """git's own HTTP, of any version, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        yield cache(lambda git: stack.enter_context(running_http_backend(git, base)))


@pytest.fixture(params=PLACES)
def place(
    request: pytest.FixtureRequest,
    server: Server,
    base: Path,
    git_daemons: Callable[[Git], Server],
    http_backends: Callable[[Git], HttpBackend],
) -> Place:
    """Every server that gitserve's own client may meet."""
    name: str = request.param
    road, _, version = name.rpartition("-") if name[-1].isdigit() else (name, "", "")
    git = next((git for git in installed_gits() if git.version == version), None)

    def below_base(repository: Path) -> str:
        return f"/{repository.relative_to(base)}"

    def daemon(at: Server) -> Place:
        return Place(lambda **options: TCPGitClient(HOST, at.port, **options), below_base)

    def process(*command: str) -> Place:
        made = type("Client", (SubprocessGitClient,), {"git_command": command})
        return Place(made, str)

    if git is None:
        places = {
            "gitserve-daemon": daemon(server),
            "gitserve-process": process(gitserve_programs().daemon[0]),
            "local": Place(LocalGitClient, str),
        }
        return places[road]
    if road == "git-daemon":
        return daemon(git_daemons(git))
    if road == "git-process":
        return process(git.path)
    url = http_backends(git).url
    return Place(lambda **options: HttpGitClient(url, **options), below_base)
