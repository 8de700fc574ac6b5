"""The classic tutorial of a server and a client in one program, on gitserve alone."""

from __future__ import annotations

import threading
from io import BytesIO
from pathlib import Path

import pytest
from gitserve.client import TCPGitClient
from gitserve.repo import Repo
from gitserve.server import DictBackend, TCPGitServer

from tests.support.gits import Git, assert_sound
from tests.support.our_client import Walker


@pytest.mark.parametrize("kind", [str, bytes])
def test_tutorial(
    kind: type, tmp_path: Path, newest_git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repo = Repo.init(b"remote", mkdir=True)
    commit_id = repo.do_commit(b"message", committer=b"Jelmer <>")
    backend = DictBackend({b"/": repo})
    server = TCPGitServer(backend, b"localhost", 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        address, port = server.socket.getsockname()[:2]
        client = TCPGitClient(address if kind is str else address.encode(), port)

        f = BytesIO()
        result = client.fetch_pack(b"/", lambda refs: refs.values(), Walker(), pack_data=f.write)
        assert f.getvalue()[:4] == b"PACK"
        assert result[b"refs/heads/master"] == commit_id

        local = Repo.init(b"local", mkdir=True)
        remote_refs = client.fetch(b"/", local)
        local.refs[b"HEAD"] = remote_refs[b"refs/heads/master"]
        assert local.head() == commit_id
        assert local[commit_id].message == b"message"
        assert_sound(newest_git, tmp_path / "local")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
