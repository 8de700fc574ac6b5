"""Fixtures for everyone: gits, an isolated environment, repositories and a running daemon."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gits import CONFIG, Git, installed_gits
from tests.support.repositories import FORMS, large_blob
from tests.support.server import (
    Programs,
    Server,
    gitserve_programs,
    oracle_programs,
    running_server,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--oracle",
        action="store_true",
        help="put git's own daemon in the place of gitserve: do the tests ask for what git does?",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "ours: wants something that git's own daemon does not do; left out with --oracle"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--oracle"):
        ours = [item for item in items if item.get_closest_marker("ours")]
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody's HOME, no configuration but ours, fixed words and times."""
    home = tmp_path_factory.mktemp("home")
    config = home / "gitconfig"
    config.write_text(CONFIG)
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]
    os.environ.update(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / "xdg"),
        GIT_CONFIG_GLOBAL=str(config),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_TERMINAL_PROMPT="0",
        LC_ALL="C.UTF-8",
        TZ="UTC",
    )
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """One that nobody ends would keep the whole run from ending, behind its last line."""
    before = set(threading.enumerate())
    yield
    left = [one for one in threading.enumerate() if one not in before and not one.daemon]
    for one in left:
        one.join(5)
    assert not [one for one in left if one.is_alive()]


@pytest.fixture(scope="session")
def newest_git() -> Git:
    """The git that makes repositories and judges them."""
    return installed_gits()[0]


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest, newest_git: Git) -> Programs:
    """The commands under test."""
    if request.config.getoption("--oracle"):
        return oracle_programs(newest_git.path)
    return gitserve_programs()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the daemon serves."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def daemon(
    programs: Programs, base: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One daemon for the whole run, with push allowed."""
    log_path = tmp_path_factory.mktemp("log") / "daemon.log"
    options = ["--export-all", "--enable=receive-pack", "--enable=upload-pack"]
    with running_server(programs, base, log_path, options) as server:
        yield server


@pytest.fixture
def server(daemon: Server) -> Iterator[Server]:
    """The daemon; whatever a test does to it, it must be well afterwards."""
    daemon.new_log()
    yield daemon
    daemon.assert_unharmed()


@pytest.fixture(scope="session")
def form(base: Path, newest_git: Git) -> Callable[[str], Path]:
    """A repository of a form, made once and only to be read."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            folder = base / "forms"
            folder.mkdir(exist_ok=True)
            made[name] = folder / name
            FORMS[name](newest_git, made[name])
        return made[name]

    return get


@pytest.fixture(scope="session")
def large(base: Path, newest_git: Git) -> Path:
    """The repository with the blob of more than 100 MB, only to be read."""
    path = base / "large.git"
    large_blob(newest_git, path)
    return path


@pytest.fixture
def served(base: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty folder below the daemon's base, for one test's own repositories."""
    folder = base / f"test-{abs(hash(request.node.nodeid)):x}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def lively(form: Callable[[str], Path], served: Path) -> Path:
    """A copy of the generated history, for a test that writes."""
    repository = served / "lively.git"
    shutil.copytree(form("lively"), repository)
    return repository
