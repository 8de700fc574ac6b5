"""``gitserve maintain`` on repositories that git made, with git as the judge of what is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import gitserve_programs, http_programs, running_server

PUSHES = 20

COMMAND = (str(Path(sys.executable).with_name("gitserve")), "maintain")

pytestmark = pytest.mark.ours


def maintain(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Git], Path]:
    """A bare repository that pushes have left a pack each in, and its clone; made once."""

    @cache
    def model(git: Git) -> Path:
        folder = tmp_path_factory.mktemp("pushed")
        bare, work = folder / "pushed.git", folder / "work"
        git.run("init", "-q", "--bare", bare)
        git.run("config", "receive.unpackLimit", "1", cwd=bare)
        git.run("init", "-q", work)
        for number in range(PUSHES):
            push(git, work, bare, number)
        git.run("hash-object", "-w", "--stdin", cwd=bare, stdin=b"loose, and nobody's")
        git.run("tag", "-a", "-m", "a tag", "v1", "main~10", cwd=bare)
        return folder

    return model


@pytest.fixture
def pushed(git: Git, models: Callable[[Git], Path], tmp_path: Path) -> Path:
    """One that may be changed."""
    return shutil.copytree(models(git), tmp_path, dirs_exist_ok=True) / "pushed.git"


@pytest.fixture
def rolled(newest_git: Git, models: Callable[[Git], Path], tmp_path: Path) -> Path:
    """The folder of a repository that is rolled up behind pushes, and of its clone."""
    shutil.copytree(models(newest_git), tmp_path, dirs_exist_ok=True)
    for key, value in (("gc.auto", "6700"), ("maintenance.auto", "true")):
        newest_git.run("config", key, value, cwd=tmp_path / "pushed.git")
    return tmp_path


def push(git: Git, work: Path, bare: Path, number: int, branch: str = "main") -> None:
    (work / f"file-{number % 5}").write_text("".join(f"{n * number}\n" for n in range(200)))
    git.run("add", ".", cwd=work)
    git.run("commit", "-q", "-m", str(number), cwd=work)
    git.run("push", "-q", bare, f"HEAD:refs/heads/{branch}", cwd=work)


def objects(git: Git, bare: Path) -> set[str]:
    form = "--batch-check=%(objectname)"
    return set(git.lines("cat-file", form, "--batch-all-objects", cwd=bare))


def is_sound(git: Git, bare: Path) -> bool:
    git.run("fsck", "--full", "--strict", cwd=bare)
    for index in (bare / "objects/pack").glob("*.idx"):
        git.run("verify-pack", index, cwd=bare)
    left = [path.name for path in (bare / "objects").iterdir() if path.name.startswith("incoming")]
    marks = list((bare / "objects/pack").glob("*.keep")) + list(bare.glob("gc.pid*"))
    return not left and not marks


def test_many_packs_become_one_pack(git: Git, pushed: Path, tmp_path: Path) -> None:
    before = objects(git, pushed)
    done = maintain("--json", pushed)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["packs_before"], told["loose_before"]) == (PUSHES, 2)
    assert (told["packs_after"], told["loose_after"]) == (1, 0)
    assert told["bytes_after"] < told["bytes_before"]
    assert told["refs"] == 2
    assert not (pushed / "refs/heads/main").exists()
    git.run("rev-parse", "main^{commit}", "v1^{commit}", cwd=pushed)
    assert objects(git, pushed) == before
    assert is_sound(git, pushed)
    git.run("clone", "-q", pushed, tmp_path / "clone")
    again = json.loads(maintain("--json", pushed).stdout)
    assert again["packed"] == 0


def test_it_is_quiet_and_can_be_asked(git: Git, pushed: Path, tmp_path: Path) -> None:
    done = maintain(pushed, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"error: {tmp_path}: '{tmp_path}' does not appear to be a git repository\n"
    )
    done = maintain("-v", pushed)
    assert done.stdout.startswith(f"{pushed}: in order already, 1 pack, ")
    assert maintain("--prune=yesterday-ish", pushed).returncode == 129
    git.run("config", "core.repositoryFormatVersion", "1", cwd=pushed)
    git.run("config", "extensions.preciousObjects", "true", cwd=pushed)
    assert "precious" in maintain(pushed).stderr


def test_full_keeps_what_may_be_needed_and_prunes_the_rest(git: Git, pushed: Path) -> None:
    git.run("update-ref", "refs/heads/main", "main~5", cwd=pushed)
    before = objects(git, pushed)
    told = json.loads(maintain("--full", "--json", pushed).stdout)
    assert told["bitmaps"] == PUSHES - 5
    git.run("rev-list", "--test-bitmap", "main", cwd=pushed)
    assert (told["packs_after"], told["loose_after"], told["pruned"]) == (2, 0, 0)
    assert told["set_apart"] == 5 * 3 + 1
    assert objects(git, pushed) == before
    assert is_sound(git, pushed)
    # git takes the times that we wrote for its own
    git.run("gc", "-q", "--prune=1.hour.ago", cwd=pushed)
    assert objects(git, pushed) == before
    time.sleep(1.1)
    told = json.loads(maintain("--full", "--prune=now", "--json", pushed).stdout)
    assert told["pruned"] == 5 * 3 + 1
    reachable = {
        line.split()[0] for line in git.lines("rev-list", "--objects", "--all", cwd=pushed)
    }
    assert objects(git, pushed) == reachable
    assert is_sound(git, pushed)


def test_git_uses_what_is_written_beside_the_packs(
    git: Git, models: Callable[[Git], Path], tmp_path: Path
) -> None:
    shutil.copytree(models(git), tmp_path, dirs_exist_ok=True)
    bare, work = tmp_path / "pushed.git", tmp_path / "work"
    told = json.loads(maintain("--full", "--json", bare).stdout)
    assert told["graphed"] == PUSHES
    for number in range(PUSHES, PUSHES + 2):
        push(git, work, bare, number, "other")
    told = json.loads(maintain("--json", bare).stdout)
    # one of them has what nobody needs
    assert (told["packs_after"], told["graphed"]) == (3, PUSHES + 2)
    assert told["bitmaps"] == PUSHES + 2
    git.run("commit-graph", "verify", cwd=bare)
    git.run("multi-pack-index", "verify", cwd=bare)
    for tip in ("main", "other"):
        git.run("rev-list", "--test-bitmap", tip, cwd=bare)
    for path in ("file-1", "file-4", "none"):
        log = ("log", "--format=%H", "other", "--", path)
        plain = git.lines("-c", "core.commitGraph=false", *log, cwd=bare)
        assert git.lines(*log, cwd=bare) == plain
    git.run("clone", "-q", "--no-local", bare, tmp_path / "clone")
    assert is_sound(git, bare)
    # git goes on from there, and so do we
    git.run("repack", "-q", "-d", "--geometric=2", "--write-midx", cwd=bare)
    push(git, work, bare, PUSHES + 2, "other")
    git.run("commit-graph", "write", "--reachable", "--split", "--changed-paths", cwd=bare)
    assert maintain(bare).stderr == ""
    git.run("commit-graph", "verify", cwd=bare)
    assert is_sound(git, bare)


@pytest.mark.parametrize(
    ("setting", "graphed", "bitmaps"),
    [
        ("gc.writeCommitGraph=false", 0, PUSHES),
        ("core.commitGraph=false", 0, PUSHES),
        ("commitGraph.changedPaths=false", PUSHES, PUSHES),
        ("repack.writeBitmaps=false", PUSHES, 0),
    ],
)
def test_what_is_not_wanted_is_not_written(
    git: Git, pushed: Path, setting: str, graphed: int, bitmaps: int
) -> None:
    key, _, value = setting.partition("=")
    git.run("config", key, value, cwd=pushed)
    told = json.loads(maintain("--json", pushed).stdout)
    assert (told["graphed"], told["bitmaps"]) == (graphed, bitmaps)
    if graphed:
        has_filters = b"BDAT" in (pushed / "objects/info/commit-graph").read_bytes()[:256]
        assert has_filters == (key != "commitGraph.changedPaths")


def test_whoever_comes_second_is_told(git: Git, pushed: Path) -> None:
    # a process that lives, on this machine, as git writes it
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        (pushed / "gc.pid").write_text(f"{sleeper.pid} {host}")
        done = maintain(pushed)
        assert done.returncode == 1
        assert f"process {sleeper.pid} on {host}" in done.stderr
    finally:
        sleeper.kill()
        sleeper.wait()
    assert maintain(pushed).returncode == 0
    assert is_sound(git, pushed)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_it_may_be_stopped_at_any_moment(git: Git, pushed: Path, sign: signal.Signals) -> None:
    before = objects(git, pushed)
    chance = random.Random(7)
    for _ in range(6):
        process = subprocess.Popen([*COMMAND, "--full", pushed], stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.05, 0.3))
        process.send_signal(sign)
        process.wait(timeout=60)
        git.run("fsck", "--full", cwd=pushed)
        assert objects(git, pushed) == before
    for quarantine in (pushed / "objects").glob("incoming-*"):
        assert sign == signal.SIGKILL
        # as if it were a while ago
        # which may have been made without the folder in it
        for path in filter(Path.is_dir, (quarantine / "pack", quarantine)):
            for inner in path.iterdir():
                if inner.is_file():
                    inner.unlink()
            os.utime(path, (1, 1))
    for keep in (pushed / "objects/pack").glob("*.keep"):
        keep.unlink()
    # between its making and its renaming, for which whoever comes within a minute has to wait
    if (lock := pushed / "gc.pid.lock").exists():
        assert sign == signal.SIGKILL
        os.utime(lock, (1, 1))
    assert maintain("--full", pushed).returncode == 0
    assert objects(git, pushed) == before
    assert is_sound(git, pushed)


def test_pushes_clones_and_gits_own_gc_go_on(git: Git, pushed: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    over = threading.Event()
    failed: list[str] = []

    def keep_in_order() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            done = maintain(*(["--full"] if turn % 2 else []), pushed)
            if done.returncode and "in order already" not in done.stderr:
                failed.append(done.stderr)

    def collect() -> None:
        while not over.is_set():
            git.run("repack", "-q", "-d", "--geometric=2", cwd=pushed, check=False)

    threads = [threading.Thread(target=keep_in_order), threading.Thread(target=collect)]
    for thread in threads:
        thread.start()
    try:
        for number in range(PUSHES, PUSHES + 8):
            push(git, work, pushed, number)
            git.run("clone", "-q", "--no-local", pushed, tmp_path / f"clone-{number}")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert git.text("rev-parse", "main", cwd=pushed) == git.text("rev-parse", "HEAD", cwd=work)
    git.run("fsck", "--full", "--strict", cwd=pushed)


@pytest.mark.parametrize("road", ["daemon", "http", "stdio"])
def test_pushes_are_rolled_up_behind_them(
    newest_git: Git, rolled: Path, tmp_path: Path, road: str
) -> None:
    git, bare, work = newest_git, rolled / "pushed.git", rolled / "work"
    git.run("config", "http.receivepack", "true", cwd=bare)

    def push_to(address: str | Path, *options: str) -> None:
        (work / "new").write_text(f"{time.monotonic()}\n")
        git.run("add", ".", cwd=work)
        git.run("commit", "-q", "-m", "new", cwd=work)
        git.run("push", "-q", *options, address, "HEAD:refs/heads/main", cwd=work)

    def packs() -> int:
        return len(list((bare / "objects/pack").glob("*.idx")))

    before = objects(git, bare)
    git.run("config", "receive.autogc", "false", cwd=bare)
    with contextlib.ExitStack() as stack:
        if road == "stdio":
            address: str | Path = bare
            options = [f"--receive-pack={gitserve_programs().receive_pack}"]
        else:
            programs = http_programs() if road == "http" else gitserve_programs()
            words = ["--export-all", "--enable=receive-pack"]
            server = stack.enter_context(
                running_server(programs, tmp_path, tmp_path / "log", words)
            )
            server.scheme = {"http": "http", "daemon": "git"}[road]
            address, options = server.url(bare), []
        push_to(address, *options)
        assert packs() == PUSHES + 1
        git.run("config", "receive.autogc", "true", cwd=bare)
        push_to(address, *options)
        deadline = time.monotonic() + 60
        while packs() > 3 or list(bare.glob("gc.pid*")):
            assert time.monotonic() < deadline, packs()
            time.sleep(0.05)
        push_to(address, *options)
    assert objects(git, bare) > before
    assert git.text("rev-parse", "main", cwd=bare) == git.text("rev-parse", "HEAD", cwd=work)
    git.run("fsck", "--full", "--strict", cwd=bare)


def test_a_roll_up_that_fails_is_told_of_once(
    newest_git: Git, rolled: Path, tmp_path: Path
) -> None:
    git, bare, work = newest_git, rolled / "pushed.git", rolled / "work"
    text = b"".join(b"%d\n" % number**9 for number in range(50))
    lost = git.run("hash-object", "-w", "--stdin", cwd=bare, stdin=text).stdout
    git.run("pack-objects", "-q", "objects/pack/pack", cwd=bare, stdin=lost)
    pack = max((bare / "objects/pack").glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)
    damaged = bytearray(pack.read_bytes())
    damaged[40] ^= 0x55
    pack.unlink()
    pack.write_bytes(damaged)
    packs = len(list((bare / "objects/pack").glob("*.pack")))
    words = ["--export-all", "--enable=receive-pack"]
    with running_server(gitserve_programs(), tmp_path, tmp_path / "log", words) as server:
        server.scheme = "git"
        pushes = 0

        def told_of() -> list[str]:
            """By which processes."""
            nonlocal pushes
            pushes += 1
            git.run("push", "-q", server.url(bare), f"HEAD:refs/heads/{pushes}", cwd=work)
            log = server.log_path.read_text().splitlines()
            return [line.partition(" ")[0] for line in log if "no roll-up" in line]

        deadline = time.monotonic() + 60
        while not told_of():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        log = server.log_path.read_text()
        assert pack.name in log, log
        for _ in range(8):
            told = told_of()
            assert len(told) == len(set(told)), server.log_path.read_text()
    assert pack.read_bytes() == damaged
    assert len(list((bare / "objects/pack").glob("*.pack"))) < packs, "the others do not wait"


def test_a_process_that_fails_is_not_followed_by_one_a_push(newest_git: Git, rolled: Path) -> None:
    git, bare, work = newest_git, rolled / "pushed.git", rolled / "work"
    git.run("config", "gc.autoPackLimit", "3", cwd=bare)
    damaged = min((bare / "objects/pack").glob("*.pack"), key=lambda path: path.stat().st_size)
    sound = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(sound[:14] + bytes(byte ^ 0x55 for byte in sound[14:30]) + sound[30:])
    failure = bare / "gitserve-maintain.log"

    def push_to() -> None:
        (work / "new").write_text(f"{time.monotonic()}\n")
        git.run("add", ".", cwd=work)
        git.run("commit", "-q", "-m", "new", cwd=work)
        program = f"--receive-pack={gitserve_programs().receive_pack}"
        git.run("push", "-q", program, bare, "HEAD:refs/heads/other", cwd=work)

    def wait_until(so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not so() or list(bare.glob("gc.pid*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    push_to()
    wait_until(failure.exists)
    assert damaged.name in failure.read_text()
    written = failure.stat().st_mtime_ns
    push_to()
    damaged.write_bytes(sound)
    push_to()
    time.sleep(1)
    assert failure.stat().st_mtime_ns == written
    os.utime(failure, (1, 1))
    push_to()
    wait_until(lambda: not failure.exists())
    assert len(list((bare / "objects/pack").glob("*.idx"))) <= 3
    git.run("fsck", "--full", cwd=bare)
