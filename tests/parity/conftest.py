"""A server made as dulwich's users make one, with real git at the other end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from gitserve.repo import Repo
from gitserve.server import DictBackend, TCPGitServer
from gitserve.web import WSGIRequestHandlerLogger, WSGIServerLogger, make_server

from tests.support.gits import Git
from tests.support.repositories import LITTLE, feed_history, new_bare


@contextmanager
def serving(server: TCPGitServer) -> Iterator[str]:
    """Serves in a thread while the block runs; the URL of its root."""
    thread = threading.Thread(target=server.serve, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"git://127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serves a backend, or a server, until the test ends; the URL."""
    with ExitStack() as stack:

        def start(backend: Any, **options: Any) -> str:
            server = (
                backend
                if isinstance(backend, TCPGitServer)
                else TCPGitServer(backend, "127.0.0.1", 0, **options)
            )
            return stack.enter_context(serving(server))

        yield start


@pytest.fixture
def serve_http() -> Iterator[Callable[[Any], str]]:
    """Serves an application until the test ends; its URL."""
    with ExitStack() as stack:

        def start(application: Any) -> str:
            server = make_server(
                "127.0.0.1", 0, application,
                server_class=WSGIServerLogger, handler_class=WSGIRequestHandlerLogger,
            )  # fmt: skip
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield start


@pytest.fixture
def project(tmp_path: Path, newest_git: Git) -> Repo:
    """A bare repository with a small history of branches, merges and tags."""
    path = tmp_path / "project.git"
    new_bare(newest_git, path)
    feed_history(newest_git, path, 7, LITTLE)
    return Repo(path)


@pytest.fixture
def url(project: Repo, serve: Callable[..., str]) -> str:
    """``project``, served as ``/``."""
    return serve(DictBackend({b"/": project})) + "/"
