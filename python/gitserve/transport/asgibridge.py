"""A WSGI application behind an ASGI server, streaming both ways.

In: ASGI's scope, ``receive`` and ``send``, on an event loop. Out: calls of the application, each on
a thread of its own, because a service waits and computes. Bodies are read and answers are sent
piece by piece, and whoever is faster waits for the other: at most one piece of a body is here that
nobody has asked for, and a piece of an answer is made when the server has taken the one before it.
A client that goes away ends the work. Must not know Git.

The ASGI specification 3.0, "HTTP & WebSocket ASGI Message Format" and "Lifespan Protocol";
PEP 3333.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import CancelledError as NotDone
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from gitserve.record import Record

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ExcInfo = Any
Application = Callable[["WSGIEnvironment", "StartResponse"], Iterable[bytes]]

GONE = "the client is gone"

BUSY = b"the server is busy; try again later\n"


class ClientGone(ConnectionAbortedError):
    """Nobody is there any more to send to, or to hear from."""


class BridgeLimits(Record):
    """What one process takes upon itself."""

    max_requests: int = 512
    """At once; each has a thread. One more is answered 503."""
    timeout: float = 600.0
    """Seconds without a byte in either direction; 0 for ever."""


class _Presence:
    """A pipe that is closed at the far end when the client is gone: the core looks at the near one
    while it computes, as it does with sockets."""

    def __init__(self) -> None:
        self._far, self._near = os.pipe()
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The end that the core looks at."""
        return self._near

    def end(self) -> None:
        """The client is gone."""
        with self._lock:
            far, self._far = self._far, -1
        if far >= 0:
            os.close(far)

    def close(self) -> None:
        """Nobody looks any more."""
        self.end()
        os.close(self._near)


class _Body:
    """``wsgi.input``: the loop puts pieces in, the application's thread takes them out."""

    def __init__(self, on_room: Callable[[], None], timeout: float) -> None:
        """``on_room`` is called, on the taking thread, when another piece may be put in."""
        self._on_room = on_room
        self._timeout = timeout or None
        self._changed = threading.Condition()
        self._held = memoryview(b"")
        self._ended = False
        self._gone = False

    def put(self, piece: bytes, *, ended: bool) -> None:
        """Takes one piece in; there is room for one."""
        with self._changed:
            self._held = memoryview(bytes(self._held) + piece if self._held else piece)
            self._ended = ended
            self._changed.notify()

    def client_gone(self) -> None:
        """What has not come will not come."""
        with self._changed:
            self._gone = True
            self._changed.notify()

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, as soon as there are any; ``b""`` at the end."""
        with self._changed:
            is_empty = not self._held and not self._ended
        if is_empty:
            self._on_room()
        with self._changed:
            if not self._changed.wait_for(self._is_settled, self._timeout):
                raise TimeoutError(GONE)
            if self._gone and not self._held and not self._ended:
                raise ClientGone(GONE)
            # some servers hand over all of it at once: what is left must not be copied each time
            taken = bytes(self._held if size < 0 else self._held[:size])
            self._held = self._held[len(taken) :]
            is_empty = not self._held and not self._ended
        if is_empty:
            self._on_room()
        return taken

    read1 = read

    def readline(self, size: int = -1, /) -> bytes:
        """For chunks, which the server has taken apart."""
        raise NotImplementedError(size)

    def _is_settled(self) -> bool:
        return bool(self._held) or self._ended or self._gone


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        application: Application,
        environ: WSGIEnvironment,
        receive: Receive,
        send: Send,
        timeout: float,
    ) -> None:
        self._application = application
        self._environ = environ
        self._receive = receive
        self._send = send
        self._timeout = timeout or None
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[BaseException | None] = self._loop.create_future()
        """Set when the thread has ended, which may be long after the server gave up."""
        self._room = asyncio.Event()
        self._presence = _Presence()
        self._body = _Body(self._wants_more, timeout)
        self._gone = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._begun = False

    async def run(self) -> None:
        """Until the answer is out, or the client gone. Raises what went wrong in the middle of an
        answer, so that the server cuts it off."""
        # a client that waits to be told to go on is told when somebody reads
        if "HTTP_EXPECT" not in self._environ:
            self._room.set()
        hearing = self._loop.create_task(self._hear())
        thread = threading.Thread(target=self._work, name="gitserve-request", daemon=True)
        try:
            try:
                thread.start()
            except BaseException:
                self._presence.close()
                self.done.cancel()
                raise
            # the server may give up on us; the thread still works then, with nobody to send to
            failure = await asyncio.shield(self.done)
        except BaseException:
            self._leave()
            raise
        finally:
            hearing.cancel()
            # what it could not hear has ended the work already
            await asyncio.gather(hearing, return_exceptions=True)
        if failure is not None:
            raise failure

    # --- on the loop ------------------------------------------------------------------------

    async def _hear(self) -> None:
        try:
            await self._hear_all()
        finally:
            # also when the server cannot go on: the thread must not wait for what never comes
            self._leave()

    async def _hear_all(self) -> None:
        """Takes in the body as it is asked for, then waits for the client to go."""
        ended = False
        while not ended:
            await self._room.wait()
            self._room.clear()
            message = await self._receive()
            if message["type"] != "http.request":
                return
            ended = not message.get("more_body", False)
            piece = message.get("body", b"")
            if not piece and not ended:
                self._room.set()
                continue
            self._body.put(piece, ended=ended)
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _leave(self) -> None:
        self._gone = True
        self._presence.end()
        self._body.client_gone()

    # --- on the thread ----------------------------------------------------------------------

    def _work(self) -> None:
        failure: BaseException | None = None
        try:
            self._answer()
        except ClientGone:
            pass
        except BaseException as error:  # noqa: BLE001 - the server is told, on its own thread
            failure = error
        finally:
            self._presence.close()
        with suppress(RuntimeError):  # the loop has ended before us
            self._loop.call_soon_threadsafe(self._finish, failure)

    def _finish(self, failure: BaseException | None) -> None:
        if not self.done.done():
            self.done.set_result(failure)

    def _answer(self) -> None:
        environ = {
            **self._environ,
            "wsgi.input": self._body,
            # the server has taken chunks apart, and tells where the body ends
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.version": (1, 0),
            "gitserve.socket": self._presence,
        }
        pieces = self._application(environ, self._start_response)
        try:
            for piece in pieces:
                if piece:
                    self._write(piece)
            self._write(b"", ended=True)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], _error: ExcInfo = None, /
    ) -> Callable[[bytes], object]:
        self._status = int(status.partition(" ")[0])
        self._headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]
        return self._write

    def _write(self, piece: bytes, *, ended: bool = False) -> None:
        if not self._begun:
            self._begun = True
            start = {"type": "http.response.start", "status": self._status}
            self._tell({**start, "headers": self._headers})
        self._tell({"type": "http.response.body", "body": piece, "more_body": not ended})

    def _tell(self, message: Message) -> None:
        """Returns when the server has taken it, which is when its own buffer has room."""
        if self._gone:
            raise ClientGone(GONE)
        try:
            waiting = asyncio.run_coroutine_threadsafe(self._sent(message), self._loop)
        except RuntimeError as error:
            raise ClientGone(GONE) from error
        try:
            waiting.result(self._timeout)
        except TimeoutError:
            waiting.cancel()
            raise
        except (NotDone, OSError) as error:
            raise ClientGone(GONE) from error
        if self._gone:
            raise ClientGone(GONE)

    async def _sent(self, message: Message) -> None:
        await self._send(message)

    def _wants_more(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._room.set)


class AsgiBridge:
    """The ASGI application around a WSGI one."""

    def __init__(
        self,
        application: Application,
        *,
        user: Callable[[Scope], str | None] | None = None,
        limits: BridgeLimits = BridgeLimits(),  # noqa: B008 - it never changes
    ) -> None:
        """``user``: whom a request is from, by what a framework in front has noted in its scope;
        it becomes ``REMOTE_USER``, for policies and hooks."""
        self._application = application
        self._user = user
        self._limits = limits
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] != "http":
            raise ValueError(f"not served: {scope['type']}")
        elif self._limits.max_requests and self._running >= self._limits.max_requests:
            await _refuse(send)
        else:
            user = None if self._user is None else self._user(scope)
            environ = wsgi_environ(scope, user)
            timeout = self._limits.timeout
            exchange = _Exchange(self._application, environ, receive, send, timeout)
            self._running += 1
            exchange.done.add_done_callback(self._ended)
            await exchange.run()

    def _ended(self, _done: asyncio.Future[BaseException | None]) -> None:
        self._running -= 1


def wsgi_environ(scope: Mapping[str, Any], user: str | None) -> WSGIEnvironment:
    """What WSGI calls the same, without the streams."""
    root = str(scope.get("root_path", "")).rstrip("/").encode("utf-8", "surrogateescape")
    raw = scope.get("raw_path")
    # what is no UTF-8 is in the raw path alone
    path = unquote_to_bytes(raw) if raw else scope["path"].encode("utf-8", "surrogateescape")
    path = path.removeprefix(root) if path.startswith(root + b"/") else path
    host, port = scope.get("server") or ("localhost", None)
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope["method"],
        # PEP 3333: each byte in the place of the Latin-1 character of its number
        "SCRIPT_NAME": root.decode("latin-1"),
        "PATH_INFO": path.decode("latin-1"),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": str(host),
        "SERVER_PORT": str(port or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "wsgi.url_scheme": scope.get("scheme", "http"),
    }
    client = scope.get("client")
    if client:
        environ["REMOTE_ADDR"] = str(client[0])
    if user:
        environ["REMOTE_USER"] = user
    for name, value in scope.get("headers", ()):
        if b"_" in name:
            continue  # nobody could tell it from one with a dash, which a proxy may have checked
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


async def _live(receive: Receive, send: Send) -> None:
    """Nothing has to be begun, nothing ended."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _refuse(send: Send) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(BUSY)),
        (b"retry-after", b"10"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": BUSY})
