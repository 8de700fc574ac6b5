"""A program that we talk with, back and forth, without trusting it to behave.

In: arguments, what to write. Out: what it answers; what it says on standard error goes to whoever
listens while we wait. It may answer nothing, may end at any moment, may never end: see
:mod:`.process`, whose rules for programs that only get input these are too. Must not know what is
said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from gitserve.service.process import LINGER, PIECE, ProgramTimeout

SIZE = 64 << 20
"""Bytes of answer that are kept; who says more is not believed."""


class Coprocess:
    """One running program. To be closed."""

    def __init__(
        self,
        arguments: Sequence[str | bytes],
        *,
        cwd: str,
        environ: Mapping[bytes, bytes],
        on_error_output: Callable[[bytes], None],
        timeout: float,
    ) -> None:
        """Raises OSError when it cannot be started."""
        import select  # not at the top: most requests run no program
        import subprocess

        self._process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin = self._process.stdin
        self._out = self._process.stdout.fileno()
        self._err = self._process.stderr.fileno()
        os.set_blocking(self._stdin.fileno(), False)
        self._name = os.fsdecode(arguments[0])
        self._on_error_output = on_error_output
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._poll = select.poll()
        self._open = {self._out, self._err}
        for descriptor in self._open:
            self._poll.register(descriptor, select.POLLIN)
        self._writable = select.POLLOUT
        self._answered: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> bool:
        """Takes all of it, or says that the program reads no more."""
        to = self._stdin.fileno()
        unsent = memoryview(data)
        self._poll.register(to, self._writable)
        try:
            while unsent:
                if to not in self._pump():
                    continue
                try:
                    unsent = unsent[os.write(to, unsent[:PIECE]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    return False
        finally:
            self._poll.unregister(to)
        return True

    def answer(self) -> bytes:
        """What has come since the last call, and at least something; nothing at the end."""
        while not self._answered and self._out in self._open:
            self._pump()
        data = b"".join(self._answered)
        self._answered.clear()
        return data

    def piece(self) -> bytes:
        """As :meth:`answer`, for who keeps what it answers elsewhere."""
        data = self.answer()
        self._size = 0
        return data

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Gives it the pieces and passes on what it makes of them, to the end. It need not read
        all that it gets."""
        to = self._stdin.fileno()
        self._poll.register(to, self._writable)
        try:
            for piece in pieces:
                unsent = memoryview(piece)
                while unsent:
                    ready = self._pump()
                    yield from self._come()
                    if to in ready:
                        unsent = unsent[self._push(unsent) :]
        finally:
            self._poll.unregister(to)
        self._stdin.close()
        ended: float | None = None
        while self._out in self._open:
            self._pump(ended)
            yield from self._come()
            if ended is None and self._process.poll() is not None:
                ended = time.monotonic() + LINGER
            if ended is not None and time.monotonic() >= ended:
                break  # somebody it started lives on with our pipe in hand

    def _come(self) -> Iterator[bytes]:
        """What is there by now."""
        come, self._answered = self._answered, []
        self._size = 0
        yield from come

    def _push(self, data: memoryview) -> int:
        """How many bytes it has taken; all of them when it reads no more."""
        try:
            return os.write(self._stdin.fileno(), data[:PIECE])
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def finish(self) -> int:
        """Tells it that there is no more, hears it out, and gives its exit status."""
        self._stdin.close()
        while self._open and self._process.poll() is None:
            self._pump()
        until = time.monotonic() + LINGER
        while self._open and time.monotonic() < until:
            self._pump(until)
        return self._process.wait(max(0.1, self._deadline - time.monotonic()))

    def dismiss(self) -> None:
        """Tells it that there is no more, and leaves it a moment to end; then it is ended."""
        import subprocess

        self._deadline = min(self._deadline, time.monotonic() + LINGER)
        try:
            self.finish()
        except (ProgramTimeout, subprocess.TimeoutExpired):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Ends it, with its process group, if it has not ended."""
        import signal

        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except OSError:
                self._process.kill()
            self._process.wait()

    def _pump(self, until: float | None = None) -> set[int]:
        """Waits until something can be done, and reads what there is. Gives what is ready."""
        now = time.monotonic()
        if now >= self._deadline:
            raise ProgramTimeout(f"{self._name}: more than {self._timeout:g} seconds")
        # waking twice a second notices an end that closes nothing
        wait = min(0.5, self._deadline - now, max(0.0, (until or self._deadline) - now))
        ready = {descriptor for descriptor, _ in self._poll.poll(wait * 1000)}
        for descriptor in ready & self._open:
            piece = os.read(descriptor, PIECE)
            if not piece:
                self._poll.unregister(descriptor)
                self._open.discard(descriptor)
            elif descriptor == self._err:
                self._on_error_output(piece)
            else:
                self._size += len(piece)
                if self._size > SIZE:
                    raise ProgramTimeout(f"{self._name}: more than {SIZE} bytes of answer")
                self._answered.append(piece)
        return ready
