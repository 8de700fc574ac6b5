"""Programs that misbehave, and what becomes of us then: nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from gitserve.service import process
from gitserve.service.process import ProgramTimeout, run_program


def script(folder: Path, text: str, first: str = "#!/bin/sh\n") -> str:
    path = folder / "program"
    path.write_text(first + text)
    path.chmod(0o755)
    return str(path)


def run(
    program: str, folder: Path, *arguments: str, stdin: bytes = b"", timeout: float = 60.0
) -> tuple[int, bytes]:
    said: list[bytes] = []
    status = run_program(
        [program, *arguments],
        cwd=str(folder),
        environ={"PATH": os.environ["PATH"], "NAME": "value"},
        stdin=stdin,
        on_output=said.append,
        timeout=timeout,
    )
    return status, b"".join(said)


def test_input_arguments_environment_folder_and_status(tmp_path: Path) -> None:
    program = script(tmp_path, 'pwd; echo "$1 $NAME"; cat; echo wrong >&2; exit 3\n')
    status, said = run(program, tmp_path, "one two", stdin=b"line\n")
    assert status == 3
    assert said == str(tmp_path).encode() + b"\none two value\nline\nwrong\n"


def test_output_comes_while_it_runs(tmp_path: Path) -> None:
    """The program waits for an answer to its first word; without it, it never ends."""
    program = script(tmp_path, "echo first; while ! test -e answer; do sleep 0.01; done; echo last")
    said: list[bytes] = []

    def hear(piece: bytes) -> None:
        said.append(piece)
        (tmp_path / "answer").touch()

    status = run_program(
        [program], cwd=str(tmp_path), environ=dict(os.environ), stdin=b"", on_output=hear,
        timeout=60,
    )  # fmt: skip
    assert (status, b"".join(said)) == (0, b"first\nlast\n")


LARGE = b"x" * 5_000_000


def test_input_that_nobody_reads(tmp_path: Path) -> None:
    assert run(script(tmp_path, "exit 0"), tmp_path, stdin=LARGE) == (0, b"")
    assert run(script(tmp_path, "exec <&-; sleep 0.2; echo x"), tmp_path, stdin=LARGE) == (
        0,
        b"x\n",
    )


def test_input_is_read_after_the_output_was_closed(tmp_path: Path) -> None:
    """What hooks do that log to a file, or that nobody shall hear."""
    program = script(tmp_path, "exec >/dev/null 2>&1; sleep 0.2; cat >got")
    assert run(program, tmp_path, stdin=LARGE, timeout=20) == (0, b"")
    assert (tmp_path / "got").read_bytes() == LARGE


def test_large_input_and_output_cross(tmp_path: Path) -> None:
    status, said = run(script(tmp_path, "cat"), tmp_path, stdin=LARGE)
    assert (status, said == LARGE) == (0, True)


def test_one_that_never_ends_is_killed_with_its_children(tmp_path: Path) -> None:
    program = script(tmp_path, "sh -c 'echo $$; exec sleep 1000' & wait\n")
    said: list[bytes] = []
    with pytest.raises(ProgramTimeout):
        run_program(
            [program], cwd=str(tmp_path), environ=dict(os.environ), stdin=b"",
            on_output=said.append, timeout=0.5,
        )  # fmt: skip
    child = int(b"".join(said))
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{child}/stat").read_text().split()[2]
        if state == "Z":
            break
        time.sleep(0.01)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_children_that_keep_the_output_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LINGER", 0.1)
    program = script(tmp_path, "sleep 1000 & echo $! >pid; echo done")
    try:
        assert run(program, tmp_path) == (0, b"done\n")
    finally:
        os.kill(int((tmp_path / "pid").read_text()), 9)


def test_a_script_without_its_first_line(tmp_path: Path) -> None:
    assert run(script(tmp_path, "echo hello", first=""), tmp_path) == (0, b"hello\n")


def test_death_by_signal(tmp_path: Path) -> None:
    assert run(script(tmp_path, "kill -9 $$"), tmp_path)[0] == -9


def test_what_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        run(script(tmp_path, "", first="#!/does/not/exist\n"), tmp_path)


def test_whoever_listens_may_give_up(tmp_path: Path) -> None:
    program = script(tmp_path, "echo $$; exec sleep 1000")
    heard: list[int] = []

    def give_up(piece: bytes) -> None:
        heard.append(int(piece))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        run_program(
            [program], cwd=str(tmp_path), environ=dict(os.environ), stdin=b"", on_output=give_up,
            timeout=60,
        )  # fmt: skip
    with pytest.raises(ProcessLookupError):
        os.kill(heard[0], 0)


def test_error_output_apart(tmp_path: Path) -> None:
    """Both are read to their ends, whichever is closed first."""
    program = script(tmp_path, "echo out; echo wrong >&2; exec >&-; sleep 0.1; echo late >&2")
    said: list[bytes] = []
    complained: list[bytes] = []
    status = run_program(
        [program], cwd=str(tmp_path), environ=dict(os.environ), stdin=b"",
        on_output=said.append, on_error_output=complained.append, timeout=60,
    )  # fmt: skip
    assert (status, b"".join(said), b"".join(complained)) == (0, b"out\n", b"wrong\nlate\n")
