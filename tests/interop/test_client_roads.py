"""What is particular to a road: HTTP's redirections and passwords, ssh's command line, archives."""

from __future__ import annotations

import io
import random
import socket
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from gitserve.client import (
    GitClient,
    HttpGitClient,
    LocalGitClient,
    RemoteError,
    SSHGitClient,
    SubprocessGitClient,
    TCPGitClient,
    get_transport_and_path,
)
from gitserve.errors import HangupError, NotGitRepository, PeerError, PeerTimeout
from gitserve.repo import Repo

from tests.support.gits import Git, assert_sound, object_ids
from tests.support.history import HistoryShape
from tests.support.http_backend import CREDENTIALS, HttpBackend
from tests.support.our_client import adopt_refs, empty_target
from tests.support.repositories import feed_history
from tests.support.server import HOST, Server

Form = Callable[[str], Path]
HttpBackends = Callable[[Git], HttpBackend]


@pytest.fixture
def http(http_backends: HttpBackends, newest_git: Git) -> HttpBackend:
    return http_backends(newest_git)


def test_http_follows_to_where_the_repository_is(
    http: HttpBackend, form: Form, newest_git: Git, tmp_path: Path
) -> None:
    form("lively")
    target = empty_target(newest_git, tmp_path / "to.git")
    with HttpGitClient(http.url) as client:
        result = client.fetch("/moved/forms/lively", target)
    assert result.objects
    posts = [line for line in http.seen if line.startswith('"POST')]
    assert posts[-1].startswith('"POST /forms/lively/git-upload-pack')


def test_http_password(http: HttpBackend, form: Form) -> None:
    form("small")
    name, password = CREDENTIALS
    with HttpGitClient(http.url, username=name, password=password) as client:
        assert b"HEAD" in client.get_refs("/private/forms/small").refs
    with HttpGitClient(http.url) as client, pytest.raises(RemoteError, match="password"):
        client.get_refs("/private/forms/small")
    url = http.url.replace("http://", "http://somebody:a%20secret@")
    found, path = get_transport_and_path(f"{url}/private/forms/small")
    with found:
        assert b"HEAD" in found.get_refs(path).refs


def test_http_password_goes_to_its_server_alone() -> None:
    heard: list[bytes] = []
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        def lead() -> None:
            connection, _ = first.accept()
            with connection:
                heard.append(connection.recv(65536))
                place = f"http://{HOST}:{port}/x/info/refs?service=git-upload-pack"
                connection.sendall(
                    b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n"
                    % place.encode()
                )

        with socket.create_server((HOST, 0)) as first:
            threads = [threading.Thread(target=run) for run in (answer, lead)]
            for thread in threads:
                thread.start()
            where = f"http://{HOST}:{first.getsockname()[1]}"
            client = HttpGitClient(where, username="a", password="b")
            with client, pytest.raises(NotGitRepository):
                client.get_refs("/x")
            for thread in threads:
                thread.join()
    assert b"authorization:" in heard[0].lower()
    assert b"authorization:" not in heard[1].lower()


@pytest.mark.parametrize("version", [0, 2])
def test_http_keeps_its_connection(
    http: HttpBackend, form: Form, newest_git: Git, tmp_path: Path, version: int
) -> None:
    to = tmp_path / "to.git"
    newest_git.run("clone", "-q", "--bare", f"file://{form('lively')}", to)
    own = HistoryShape(commits=60, files=2, tag_every=0)
    feed_history(newest_git, to, 900, own, "refs/heads/main")
    requests, connections = len(http.seen), len(http.connections)
    with HttpGitClient(http.url) as client:
        client.fetch(
            "/forms/lively",
            Repo(to),
            lambda refs: [refs[b"refs/heads/main"]],
            protocol_version=version,
        )
    assert len(http.seen) - requests >= 2
    assert len(http.connections) - connections == 1


def test_http_page_is_no_repository(http: HttpBackend) -> None:
    with HttpGitClient(http.url) as client, pytest.raises(PeerError, match="not a smart"):
        client.get_refs("/page/x")


def test_http_takes_a_large_push_in_chunks(
    http: HttpBackend, served: Path, newest_git: Git
) -> None:
    mine, to = Repo.init_bare(served / "mine.git", mkdir=True), served / "new.git"
    newest_git.run("init", "-q", "--bare", to)
    noise = random.Random(9).randbytes(4 << 20)
    blob = mine.object_store.write("blob", noise)
    tree = mine.object_store.write("tree", b"100644 large\0" + bytes.fromhex(blob.decode()))
    commit_id = mine.do_commit(b"large", b"A <a@example.org>", tree=tree)
    with HttpGitClient(http.url) as client:
        result = client.send_pack(
            f"/{to.relative_to(served.parent)}", lambda _refs: {b"refs/heads/main": commit_id}, mine
        )
    assert result.ref_status == {b"refs/heads/main": None}
    assert_sound(newest_git, to)
    assert object_ids(newest_git, to) == sorted(i.decode() for i in (blob, tree, commit_id))


@pytest.fixture
def fake_ssh(tmp_path: Path) -> Path:
    """An ssh that notes how it was called and runs the command here."""
    script = tmp_path / "ssh"
    script.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" GIT_PROTOCOL="$GIT_PROTOCOL" > {tmp_path}/called\n'
        'for last; do :; done\nexec sh -c "$last"\n'
    )
    script.chmod(0o755)
    return script


def test_ssh(fake_ssh: Path, form: Form, newest_git: Git, tmp_path: Path) -> None:
    source, to = form("lively"), tmp_path / "to.git"
    target = empty_target(newest_git, to)
    client = SSHGitClient(
        b"git.example.org", 2222, "me", key_filename="a key", ssh_command=str(fake_ssh)
    )
    result = client.fetch(str(source), target)
    adopt_refs(newest_git, to, result.refs)
    assert object_ids(newest_git, to) == object_ids(newest_git, source)
    assert (tmp_path / "called").read_text().splitlines() == [
        "-o", "SendEnv=GIT_PROTOCOL", "-p", "2222", "-i", "a key", "me@git.example.org",
        f"git-upload-pack {source}", "GIT_PROTOCOL=version=2",
    ]  # fmt: skip
    with pytest.raises(NotGitRepository):
        client.get_refs("/no such/repository")


def test_ssh_that_fails_says_why(tmp_path: Path) -> None:
    script = tmp_path / "ssh"
    script.write_text("#!/bin/sh\necho 'Permission denied (publickey).' >&2\nexit 255\n")
    script.chmod(0o755)
    with pytest.raises(RemoteError, match=r"Permission denied \(publickey\)"):
        SSHGitClient("host", ssh_command=str(script)).get_refs("/x")
    with pytest.raises(HangupError, match="cannot run"):
        SSHGitClient("host", ssh_command=str(tmp_path / "none")).get_refs("/x")


@pytest.mark.parametrize("road", ["daemon", "process", "local"])
def test_archive(
    road: str, git: Git, git_daemons: Callable[[Git], Server], form: Form, base: Path
) -> None:
    source = form("small")
    client: GitClient
    if road == "daemon":
        client, path = TCPGitClient(HOST, git_daemons(git).port), f"/{source.relative_to(base)}"
    elif road == "local":
        client, path = LocalGitClient(), str(source)
    else:
        client, path = SubprocessGitClient(), str(source)
        client.git_command = [git.path]
    data = io.BytesIO()
    client.archive(path, b"main", data.write, format=b"tar", prefix=b"p/", subdirs=[b"bin"])
    expected = git.run("archive", "--format=tar", "--prefix=p/", "main", "bin", cwd=source).stdout
    assert data.getvalue() == expected
    with tarfile.open(fileobj=io.BytesIO(data.getvalue())) as archive:
        assert "p/bin/run" in archive.getnames()
    said: list[bytes] = []
    with pytest.raises(RemoteError):
        client.archive(path, b"no-such-ref", data.write, write_error=said.append)
    assert said


def test_silence_ends() -> None:
    with socket.create_server((HOST, 0)) as deaf:
        client = TCPGitClient(HOST, deaf.getsockname()[1], timeout=0.2)
        with pytest.raises(PeerTimeout):
            client.get_refs("/x")


def test_nobody_listens() -> None:
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(HangupError, match="cannot connect"):
        TCPGitClient(HOST, port).get_refs("/x")


def test_activity_is_told(form: Form) -> None:
    told: dict[str, int] = {}

    def tell(count: int, kind: str) -> None:
        told[kind] = told.get(kind, 0) + count

    LocalGitClient(report_activity=tell).get_refs(str(form("small")))
    assert told["read"] > 100
    assert told["write"] > 50
