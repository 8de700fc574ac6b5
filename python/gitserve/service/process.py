"""Runs one program that somebody else wrote, without trusting it to behave.

In: arguments, environment, what its standard input shall be. Out: its exit status, its output
while it runs. It may not read its input, may never end, may leave children behind that hold its
output open: none of that may stop us. Must not know what a hook is.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence

PIECE = 32 << 10
"""Bytes of output taken at once."""

LINGER = 2.0
"""Seconds to wait, once the program has ended, for what its children still have to say."""


class ProgramTimeout(Exception):
    """It ran longer than it may, and has been killed."""


def run_program(
    arguments: Sequence[str | bytes],
    *,
    cwd: str,
    environ: Mapping[str, str] | Mapping[bytes, bytes],
    stdin: bytes,
    on_output: Callable[[bytes], None],
    timeout: float,
) -> int:
    """The exit status, negative for a signal. Standard output and error both go to ``on_output``.

    Raises OSError when it cannot be started, :class:`ProgramTimeout`, and whatever ``on_output``
    raises; it is killed then, with its process group.
    """
    import select  # not at the top: most requests run no program
    import signal
    import subprocess

    def start(words: Sequence[str | bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            bufsize=0,
        )

    try:
        process = start(arguments)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        process = start(["/bin/sh", *arguments])  # a script without its first line, as execvp does
    assert process.stdin is not None
    assert process.stdout is not None
    to, out = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(to, False)
    deadline = time.monotonic() + timeout
    unsent = memoryview(stdin)
    poll = select.poll()
    poll.register(out, select.POLLIN)
    if unsent:
        poll.register(to, select.POLLOUT)
    else:
        process.stdin.close()
    ended: float | None = None
    silent = False
    try:
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise ProgramTimeout(f"{os.fsdecode(arguments[0])}: more than {timeout:g} seconds")
            if ended is None and process.poll() is not None:
                ended = now
            if ended is not None and now >= ended + LINGER:
                break  # somebody it started lives on with our pipe in hand
            if silent and (not unsent or ended is not None):
                break
            # waking twice a second notices an end that closes nothing
            for descriptor, _ in poll.poll(min(500.0, (deadline - now) * 1000)):
                if descriptor == out:
                    piece = os.read(out, PIECE)
                    if not piece:
                        poll.unregister(out)  # it may go on to read what we have for it
                        silent = True
                    else:
                        on_output(piece)
                else:
                    try:
                        unsent = unsent[os.write(to, unsent[:PIECE]) :]
                    except BlockingIOError:
                        continue
                    except OSError:
                        unsent = unsent[:0]  # it does not read its input; it need not
                    if not unsent:
                        poll.unregister(to)
                        process.stdin.close()
        return process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise ProgramTimeout(str(error)) from None
    finally:
        process.stdout.close()
        process.stdin.close()
        if process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except OSError:
                process.kill()
            process.wait()
