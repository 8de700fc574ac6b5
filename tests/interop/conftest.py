"""The matrix: every git, every protocol version, both roads."""

from __future__ import annotations

from typing import cast

import pytest

from tests.support.client import Client, RoadName
from tests.support.gits import Git, installed_gits
from tests.support.server import Programs, Server


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
