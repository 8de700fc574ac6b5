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
from contextlib import suppress

from gitserve.service.sharing import PROCESSORS

PIECE = 32 << 10
"""Bytes of output taken at once."""

LINGER = 2.0
"""Seconds to wait, once the program has ended, for what its children still have to say."""


class ProgramTimeout(Exception):
    """It ran longer than it may, and has been killed."""


def aside(text: bytes) -> None:
    """Error output that is for whoever runs us: to our own."""
    with suppress(OSError):
        os.write(2, text)


def run_program(
    arguments: Sequence[str | bytes],
    *,
    cwd: str,
    environ: Mapping[str, str] | Mapping[bytes, bytes],
    stdin: bytes,
    on_output: Callable[[bytes], None],
    timeout: float,
    on_error_output: Callable[[bytes], None] | None = None,
) -> int:
    """The exit status, negative for a signal.

    Standard error goes to ``on_error_output``; without one, to ``on_output`` as well, which is
    right where a person reads it and wrong where its lines mean something. Raises OSError when it
    cannot be started, :class:`ProgramTimeout`, and whatever these two raise; it is killed then,
    with its process group.
    """
    import select  # not at the top: most requests run no program
    import signal
    import subprocess

    PROCESSORS.spread()

    def start(words: Sequence[str | bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            words,
            cwd=cwd,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if on_error_output is None else subprocess.PIPE,
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
    to = process.stdin.fileno()
    hearers = {process.stdout.fileno(): on_output}
    if on_error_output is not None:
        assert process.stderr is not None
        hearers[process.stderr.fileno()] = on_error_output
    os.set_blocking(to, False)
    deadline = time.monotonic() + timeout
    unsent = memoryview(stdin)
    poll = select.poll()
    for out in hearers:
        poll.register(out, select.POLLIN)
    if unsent:
        poll.register(to, select.POLLOUT)
    else:
        process.stdin.close()
    ended: float | None = None
    try:
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise ProgramTimeout(f"{os.fsdecode(arguments[0])}: more than {timeout:g} seconds")
            if ended is None and process.poll() is not None:
                ended = now
            if ended is not None and now >= ended + LINGER:
                break  # somebody it started lives on with our pipe in hand
            if not hearers and (not unsent or ended is not None):
                break
            # waking twice a second notices an end that closes nothing
            for descriptor, _ in poll.poll(min(500.0, (deadline - now) * 1000)):
                hear = hearers.get(descriptor)
                if hear is not None:
                    piece = os.read(descriptor, PIECE)
                    if not piece:
                        poll.unregister(descriptor)  # it may go on to read what we have for it
                        del hearers[descriptor]
                    else:
                        hear(piece)
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
        for pipe in (process.stdout, process.stderr, process.stdin):
            if pipe is not None:
                pipe.close()
        if process.poll() is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except OSError:
                process.kill()
            process.wait()
