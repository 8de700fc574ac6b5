"""The life of the daemon: starting, stopping, dying workers, too many clients, slow clients."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.raw import FLUSH, Raw, greeting, pkt
from tests.support.server import HOST, Programs, Server, running_server

Form = Callable[[str], Path]

pytestmark = pytest.mark.ours


def path_of(server: Server, repository: Path) -> bytes:
    return b"/" + str(repository.relative_to(server.base)).encode()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def answers(server: Server, repository: Path) -> bool:
    """Does it advertise the repository's refs?"""
    with Raw.to(server) as raw:
        raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
        return bool(raw.section())


@pytest.fixture
def slow(served: Path, newest_git: Git) -> Path:
    """A repository whose pack does not fit into the kernel's buffers."""
    repository = served / "slow.git"
    newest_git.run("init", "-q", "--bare", repository)
    blob = newest_git.run(
        "hash-object", "-w", "--stdin", cwd=repository, stdin=os.urandom(32 << 20)
    ).stdout.decode()
    listing = f"100644 blob {blob.strip()}\tlarge\n".encode()
    tree = newest_git.run("mktree", cwd=repository, stdin=listing).stdout.decode().strip()
    commit = newest_git.text("commit-tree", "-m", "large", tree, cwd=repository)
    newest_git.run("update-ref", "refs/heads/main", commit, cwd=repository)
    return repository


def begin_clone(server: Server, repository: Path, git: Git) -> Raw:
    """A client that has asked for everything, without bands, and has read the first bytes."""
    raw = Raw.to(server)
    raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
    raw.section()
    tip = git.text("rev-parse", "refs/heads/main", cwd=repository).encode()
    raw.send(pkt(b"want " + tip + b"\n"), FLUSH, pkt(b"done\n"))
    assert raw.packet() == b"NAK\n"
    assert raw.exactly(4) == b"PACK"
    return raw


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_running_transfers_finish(
    programs: Programs,
    base: Path,
    slow: Path,
    newest_git: Git,
    tmp_path: Path,
    sign: signal.Signals,
) -> None:
    with running_server(programs, base, tmp_path / "log", ["--export-all"]) as server:
        with Raw.to(server) as idle, begin_clone(server, slow, newest_git) as raw:
            server.process.send_signal(sign)
            assert idle.rest() == b"", "who asked for nothing is not waited for"
            until(lambda: refuses(server), "it still takes connections")
            pack = b"PACK" + raw.rest()
        assert server.process.wait(20) == -sign
        judged = newest_git.run("index-pack", "--stdin", cwd=slow, stdin=pack, check=False)
        assert judged.returncode == 0, judged.stderr


def refuses(server: Server) -> bool:
    try:
        server.connect(timeout=2.0).close()
    except OSError:
        return True
    return False


def test_grace_ends(
    programs: Programs, base: Path, slow: Path, newest_git: Git, tmp_path: Path
) -> None:
    """A client that reads no further does not keep the server from stopping."""
    options = ["--export-all", "--grace=1"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        raw = begin_clone(server, slow, newest_git)
        assert server.stop() == -signal.SIGTERM
        raw.rest()
        raw.connection.close()


def test_a_dead_worker_is_replaced(
    programs: Programs, base: Path, form: Form, tmp_path: Path
) -> None:
    repository = form("small")
    options = ["--export-all", "--workers=2"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        until(lambda: len(children(server.process.pid)) == 2, "there are not two workers")
        first = children(server.process.pid)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        until(
            lambda: len(set(children(server.process.pid)) - set(first)) == 2,
            "workers were not replaced",
        )
        assert answers(server, repository)
    assert server.process.returncode == -signal.SIGTERM


def test_workers_do_not_outlive_the_watcher(programs: Programs, base: Path, tmp_path: Path) -> None:
    with running_server(programs, base, tmp_path / "log", ["--workers=2"]) as server:
        until(lambda: len(children(server.process.pid)) == 2, "there are not two workers")
        workers = children(server.process.pid)
        server.process.kill()
        server.process.wait()
        until(lambda: not any(alive(pid) for pid in workers), "workers live on")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_client_too_many_is_told_to_come_again(
    programs: Programs, base: Path, form: Form, tmp_path: Path
) -> None:
    repository = form("small")
    options = ["--export-all", "--max-connections=3", "--workers=2"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        held = []
        for _ in range(3):
            raw = Raw.to(server)
            raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
            assert raw.section()
            held.append(raw)
        with Raw.to(server) as extra:
            assert extra.packet() == b"ERR the server is busy; please try again later"
            assert extra.rest() == b""
        for raw in held:
            raw.connection.close()
        until(lambda: answers(server, repository), "the places are not free again")


def test_clients_that_read_nothing_hinder_nobody(
    programs: Programs, base: Path, slow: Path, newest_git: Git, form: Form, tmp_path: Path
) -> None:
    options = ["--export-all", "--workers=1", "--timeout=2", "--grace=1"]
    with running_server(programs, base, tmp_path / "log", options) as server:
        deaf = [begin_clone(server, slow, newest_git) for _ in range(12)]
        assert answers(server, form("small"))
        until(
            lambda: (tmp_path / "log").read_text().count("took nothing") == len(deaf),
            "they are not given up",
        )
        for raw in deaf:
            raw.connection.close()
        server.assert_unharmed()


def test_a_first_packet_byte_by_byte(programs: Programs, base: Path, tmp_path: Path) -> None:
    """Each byte comes in time, the request does not."""
    log = tmp_path / "log"
    with running_server(programs, base, log, ["--init-timeout=1"]) as server, Raw.to(server) as raw:
        raw.connection.settimeout(0.05)
        raw.send(b"0100")
        for _ in range(200):
            raw.send(b"x")
            try:
                gone = raw.connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionResetError:
                gone = True
            if gone:
                break
        else:
            raise AssertionError("ten seconds later it still listens")


def start(programs: Programs, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*programs.daemon, *options], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def test_any_free_port_is_told(programs: Programs, base: Path, form: Form, tmp_path: Path) -> None:
    repository = form("small")
    pid_file = tmp_path / "pid"
    process = start(
        programs, "--listen=127.0.0.1", "--port=0", f"--base-path={base}", "--export-all",
        f"--pid-file={pid_file}",
    )  # fmt: skip
    try:
        assert process.stderr is not None
        told = process.stderr.readline().decode()
        found = re.fullmatch(r"\[\d+\] Listening on 127\.0\.0\.1:(\d+)\n", told)
        assert found is not None, told
        assert process.stderr.readline().decode() == f"[{process.pid}] Ready to rumble\n"
        assert pid_file.read_text() == f"{process.pid}\n"
        server = Server(process, base, int(found[1]), tmp_path / "log")
        assert answers(server, repository)
        line = process.stderr.readline().decode()
        assert re.fullmatch(
            r"\[\d+\] 127\.0\.0\.1:\d+ git-upload-pack '/forms/small' v0: ok; objects=0"
            r" sent=\d+ received=\d+ seconds=\d+\.\d+\n",
            line,
        ), line
    finally:
        process.terminate()
        process.wait(15)
        assert process.stderr is not None
        process.stderr.close()
    assert process.returncode == -signal.SIGTERM
    assert not pid_file.exists()


def test_several_addresses(programs: Programs, base: Path, form: Form, tmp_path: Path) -> None:
    repository = form("small")
    with running_server(
        programs, base, tmp_path / "log", ["--export-all", "--listen=127.0.0.2"]
    ) as server:
        for host in (HOST, "127.0.0.2"):
            with socket.create_connection((host, server.port), timeout=10) as connection:
                raw = Raw(connection)
                raw.send(greeting(b"git-upload-pack", path_of(server, repository)))
                assert raw.section()


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--help"], 0, b""),
        (["--no-such-option"], 129, b"unrecognized arguments"),
        (["--port=x"], 129, b"'x' is no number"),
        (["--port=99999"], 128, b"fatal: there is no port 99999"),
        (["--base-path=/no/such/folder"], 128, b"does not exist or is not a directory"),
        (["--strict-paths"], 128, b"requires a list of directories"),
        (["--enable=upload-everything"], 128, b"unknown service upload-everything"),
        (["--listen=no.such.host.invalid"], 128, b"fatal: cannot listen on"),
    ],
)
def test_wrong_options(programs: Programs, options: list[str], status: int, words: bytes) -> None:
    done = subprocess.run([*programs.daemon, *options], capture_output=True, timeout=30)
    assert done.returncode == status
    assert words in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("asked", "informed"),
    [
        (b"/nowhere.git", b"no such repository"),
        (b"/forms/../forms/small", b"no such repository"),
        (b"/hidden.git", b"repository not exported"),
    ],
)
def test_what_refused_clients_hear(
    programs: Programs, base: Path, newest_git: Git, tmp_path: Path, asked: bytes, informed: bytes
) -> None:
    if not (base / "hidden.git").exists():
        newest_git.run("init", "-q", "--bare", base / "hidden.git")
    for options, text in (
        ([], b"access denied or repository not exported"),
        (["--informative-errors"], informed),
    ):
        with running_server(programs, base, tmp_path / "log", options) as server:
            for service in (b"git-upload-pack", b"git-receive-pack"):
                with Raw.to(server) as raw:
                    raw.send(greeting(service, asked))
                    assert raw.packet() == b"ERR " + text + b": " + asked
