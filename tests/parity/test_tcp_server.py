"""``TCPGitServer``: a real socketserver, a real git at the other end, in every protocol version."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gitserve.errors import GitProtocolError, NotGitRepository
from gitserve.protocol import pkt_line
from gitserve.repo import Repo
from gitserve.server import (
    DEFAULT_HANDLERS,
    DictBackend,
    FileSystemBackend,
    ReceivePackHandler,
    TCPGitRequestHandler,
    TCPGitServer,
    UploadPackHandler,
    serve_command,
)

from tests.parity.conftest import serving
from tests.support.gits import Git, assert_sound, object_ids, refs

VERSIONS = pytest.mark.parametrize("version", [0, 1, 2], ids=["v0", "v1", "v2"])


def protocol(version: int) -> list[str]:
    return ["-c", f"protocol.version={version}"]


@VERSIONS
def test_clone_fetch_push(
    version: int, project: Repo, url: str, newest_git: Git, tmp_path: Path
) -> None:
    git, clone = newest_git, tmp_path / "clone"
    git.run(*protocol(version), "clone", "--quiet", "--mirror", url, clone)
    assert refs(git, clone) == refs(git, Path(project.path))
    assert object_ids(git, clone) == object_ids(git, Path(project.path))

    work = tmp_path / "work"
    git.run(*protocol(version), "clone", "--quiet", url, work)
    (work / "new").write_text("a new file\n")
    git.run("add", "new", cwd=work)
    git.run("commit", "--quiet", "-m", "new", cwd=work)
    git.run(*protocol(version), "push", "--quiet", "origin", "HEAD:refs/heads/pushed", cwd=work)
    pushed = git.text("rev-parse", "HEAD", cwd=work).encode()
    assert project.refs[b"refs/heads/pushed"] == pushed
    assert_sound(git, Path(project.path))

    git.run(*protocol(version), "fetch", "--quiet", cwd=clone)
    assert refs(git, clone)["refs/heads/pushed"] == pushed.decode()
    git.run(*protocol(version), "push", "--quiet", "origin", ":refs/heads/pushed", cwd=work)
    assert b"refs/heads/pushed" not in project.refs
    git.run(*protocol(version), "fetch", "--quiet", "--prune", cwd=clone)
    assert "refs/heads/pushed" not in refs(git, clone)


@VERSIONS
def test_shallow_and_back(version: int, url: str, newest_git: Git, tmp_path: Path) -> None:
    git, clone = newest_git, tmp_path / "clone"
    git.run(*protocol(version), "clone", "--quiet", "--depth=3", url, clone)
    assert git.text("rev-parse", "--is-shallow-repository", cwd=clone) == "true"
    git.run(*protocol(version), "fetch", "--quiet", "--unshallow", cwd=clone)
    assert git.text("rev-parse", "--is-shallow-repository", cwd=clone) == "false"
    assert_sound(git, clone)


@VERSIONS
def test_empty_repository(
    version: int, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    git = newest_git
    repo = Repo.init_bare(tmp_path / "empty.git", mkdir=True)
    url = serve(DictBackend({"/": repo})) + "/"
    git.run(*protocol(version), "clone", "--quiet", url, tmp_path / "clone")
    git.run("commit", "--quiet", "--allow-empty", "-m", "first", cwd=tmp_path / "clone")
    branch = repo.refs.read_ref(b"HEAD").removeprefix(b"ref: ").decode()
    push = ["push", "--quiet", "origin", f"HEAD:{branch}"]
    git.run(*protocol(version), *push, cwd=tmp_path / "clone")
    assert repo.head() == git.text("rev-parse", "HEAD", cwd=tmp_path / "clone").encode()


def test_an_idle_client_blocks_nobody(url: str, newest_git: Git) -> None:
    host, port = url.removeprefix("git://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))) as idle:
        idle.sendall(b"00")
        assert newest_git.lines("ls-remote", url)


def test_the_server_is_a_tcp_server(project: Repo) -> None:
    server = TCPGitServer(DictBackend({b"/": project}), b"localhost", 0)
    try:
        assert isinstance(server, socketserver.TCPServer)
        assert server.handlers == DEFAULT_HANDLERS
        assert server.socket.getsockname()[1] == server.server_address[1] > 0
        assert server.allow_reuse_address
    finally:
        server.server_close()


def test_threading_mixin_in_front_is_harmless(
    project: Repo, serve: Callable[..., str], newest_git: Git
) -> None:
    class Threaded(socketserver.ThreadingMixIn, TCPGitServer):
        daemon_threads = True

    url = serve(Threaded(DictBackend({b"/": project}), "localhost", 0)) + "/"
    assert newest_git.lines("ls-remote", url)


def test_ipv6(project: Repo, newest_git: Git) -> None:
    class Six(TCPGitServer):
        address_family = socket.AF_INET6

    server = Six(DictBackend({b"/": project}), "::1", 0)
    with serving(server):
        assert newest_git.lines("ls-remote", f"git://[::1]:{server.server_address[1]}/")


def test_verify_request_may_refuse(
    project: Repo, serve: Callable[..., str], newest_git: Git
) -> None:
    class Closed(TCPGitServer):
        def verify_request(self, request: Any, client_address: Any) -> bool:
            return False

    url = serve(Closed(DictBackend({b"/": project}), "localhost", 0)) + "/"
    done = newest_git.run("ls-remote", url, check=False)
    assert done.returncode != 0
    assert not done.stdout


def test_handle_error_is_called(project: Repo, serve: Callable[..., str], newest_git: Git) -> None:
    seen: queue.Queue[BaseException | None] = queue.Queue()

    class Noting(TCPGitServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            seen.put(sys.exc_info()[1])

    url = serve(Noting(DictBackend({b"/": project}), "localhost", 0))
    done = newest_git.run("ls-remote", url + "/nowhere", check=False)
    assert done.returncode == 128
    assert b"access denied or repository not exported: /nowhere" in done.stderr
    assert isinstance(seen.get(timeout=30), NotGitRepository)


def test_own_handlers(project: Repo, serve: Callable[..., str], newest_git: Git) -> None:
    class Closed(ReceivePackHandler):
        def handle(self) -> None:
            self.proto.write_pkt_line(b"ERR this server takes nothing\n")

    url = serve(DictBackend({b"/": project}), handlers={b"git-receive-pack": Closed}) + "/"
    clone = Path(project.path).parent / "clone"
    newest_git.run("clone", "--quiet", url, clone)
    done = newest_git.run("push", "origin", "HEAD:refs/heads/x", cwd=clone, check=False)
    assert b"this server takes nothing" in done.stderr


def test_shutdown_ends_serve_and_close_ends_idle_connections(project: Repo) -> None:
    server = TCPGitServer(DictBackend({b"/": project}), "localhost", 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    with socket.create_connection(server.socket.getsockname()) as idle:
        idle.sendall(b"003")
        server.shutdown()
        server.server_close()
        thread.join(10)
        assert not thread.is_alive()
        with contextlib.suppress(ConnectionResetError):
            while idle.recv(100):
                pass


def test_who_says_nothing_is_let_go(
    project: Repo, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ``timeout`` seconds, at each point of a dialogue; elsewhere a thread would be lost."""
    assert TCPGitRequestHandler.timeout == 600
    monkeypatch.setattr(TCPGitRequestHandler, "timeout", 0.2)
    url = serve(DictBackend({b"/": project}))
    host, port = url.removeprefix("git://").split(":")
    for said in (b"", b"00", pkt_line(b"git-upload-pack /\0host=x\0"),
                 pkt_line(b"git-receive-pack /\0host=x\0") + b"0094"):  # fmt: skip
        with socket.create_connection((host, int(port))) as idle:
            idle.sendall(said)
            while idle.recv(1 << 16):
                pass  # the end, not ours


class Held(UploadPackHandler):
    """Waits until the test lets go, then answers."""

    started: threading.Event
    let_go: threading.Event
    ended: threading.Event

    def handle(self) -> None:
        self.started.set()
        self.let_go.wait(60)
        with contextlib.suppress(GitProtocolError):
            self.proto.write_pkt_line(b"at last")
        self.ended.set()


@pytest.fixture
def held(project: Repo) -> Iterator[tuple[TCPGitServer, type[Held], socket.socket]]:
    """A server that is shut down while one request runs."""

    class Mine(Held):
        started, let_go, ended = threading.Event(), threading.Event(), threading.Event()

    backend, handlers = DictBackend({b"/": project}), {b"git-upload-pack": Mine}
    server = TCPGitServer(backend, "127.0.0.1", 0, handlers)
    thread = threading.Thread(target=server.serve, args=(0.02,))
    thread.start()
    with socket.create_connection(server.server_address[:2]) as client:
        client.sendall(pkt_line(b"git-upload-pack /\0host=x\0"))
        assert Mine.started.wait(60)
        server.shutdown()
        thread.join(60)
        yield server, Mine, client
    Mine.let_go.set()
    assert Mine.ended.wait(60)


def test_server_close_lets_running_requests_finish(
    held: tuple[TCPGitServer, type[Held], socket.socket],
) -> None:
    server, handler, client = held
    server.close_timeout = 60
    closing = threading.Thread(target=server.server_close)
    closing.start()
    with contextlib.suppress(ConnectionError):  # soon, nobody listens any more
        while True:
            socket.create_connection(server.server_address[:2]).close()
    assert closing.is_alive()
    handler.let_go.set()
    closing.join(60)
    assert not closing.is_alive()
    assert client.recv(100) == pkt_line(b"at last")


def test_server_close_cuts_what_does_not_finish(
    held: tuple[TCPGitServer, type[Held], socket.socket],
) -> None:
    server, handler, client = held
    assert server.close_timeout == 10
    server.close_timeout = 0.1
    server.server_close()
    assert not handler.ended.is_set()
    assert client.recv(100) == b""


def test_file_system_backend(
    project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    url = serve(FileSystemBackend(tmp_path))
    listed = newest_git.lines("ls-remote", url + project.path)
    assert listed == newest_git.lines("ls-remote", url + "/project.git") != []
    for path in ("/../etc", "/nowhere", "/"):
        assert newest_git.run("ls-remote", url + path, check=False).returncode == 128


@pytest.mark.parametrize("as_path", [str, os.fsencode, Path], ids=["str", "bytes", "Path"])
def test_paths_of_every_kind(project: Repo, tmp_path: Path, as_path: Callable[[str], Any]) -> None:
    assert FileSystemBackend().open_repository(as_path(project.path)).path == project.path
    backend = FileSystemBackend(as_path(str(tmp_path)))
    assert backend.open_repository(as_path("project.git")).path == project.path
    with pytest.raises(NotGitRepository):
        backend.open_repository(as_path("../"))
    for key in ("/x", b"/x"):
        assert DictBackend({key: project}).open_repository(as_path("/x")) is project  # type: ignore[misc]
    with pytest.raises(NotGitRepository):
        DictBackend({"/x": project}).open_repository(as_path("/y"))


def test_a_link_out_of_the_root_leads_nowhere(project: Repo, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(project.path)
    with pytest.raises(NotGitRepository):
        FileSystemBackend(tmp_path / "root").open_repository("link")


def test_serve_command_over_files(project: Repo) -> None:
    out = io.BytesIO()
    status = serve_command(
        UploadPackHandler,
        ["git-upload-pack", "/"],
        backend=DictBackend({"/": project}),
        inf=io.BytesIO(b"0000"),
        outf=out,
    )
    assert status == 0
    assert b" HEAD\0" in out.getvalue().split(b"\n")[0]
    assert out.getvalue().endswith(b"0000")


SCRIPT = """\
#!{python}
import sys
from gitserve.server import {handler}, serve_command
sys.exit(serve_command({handler}))
"""


@VERSIONS
def test_serve_command_on_pipes(
    version: int, project: Repo, newest_git: Git, tmp_path: Path
) -> None:
    git, clone = newest_git, tmp_path / "clone"
    programs = {}
    for name, handler in (("upload", "UploadPackHandler"), ("receive", "ReceivePackHandler")):
        programs[name] = tmp_path / name
        programs[name].write_text(SCRIPT.format(python=sys.executable, handler=handler))
        programs[name].chmod(0o755)
    url = f"file://{project.path}"
    git.run(*protocol(version), "clone", "--quiet", "-u", programs["upload"], url, clone)
    git.run("commit", "--quiet", "--allow-empty", "-m", "new", cwd=clone)
    push = ["push", f"--receive-pack={programs['receive']}", "origin", "HEAD:refs/heads/new"]
    git.run(*protocol(version), *push, cwd=clone)
    assert_sound(git, Path(project.path))
    assert project.refs[b"refs/heads/new"].decode() == git.text("rev-parse", "HEAD", cwd=clone)
