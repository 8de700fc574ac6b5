"""The bridge between an event loop and threads: streaming, waiting for each other, ending."""

from __future__ import annotations

import asyncio
import io
import select
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from gitserve.transport.asgibridge import AsgiBridge, BridgeLimits, Message, wsgi_environ

SCOPE: dict[str, Any] = {
    "type": "http", "method": "POST", "path": "/r.git/git-upload-pack", "http_version": "1.1",
    "raw_path": b"/r.git/git-upload-pack", "query_string": b"", "headers": [],
    "client": ("192.0.2.1", 1234), "server": ("example.com", 443), "scheme": "https",
}  # fmt: skip

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], object]]


class Server:
    """An ASGI server's part, which takes and gives only as the test lets it."""

    def __init__(self, *body: bytes) -> None:
        self.body = list(body)
        self.heard = 0
        """Pieces of the body that have been asked for."""
        self.gone = asyncio.Event()
        self.takes = asyncio.Event()
        self.takes.set()
        self.said: list[Message] = []
        self.offered = 0
        """Messages that the application wanted sent."""

    async def receive(self) -> Message:
        if self.heard < len(self.body):
            self.heard += 1
            more = self.heard < len(self.body)
            return {"type": "http.request", "body": self.body[self.heard - 1], "more_body": more}
        if not self.body and not self.heard:
            self.heard = 1
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.offered += 1
        await self.takes.wait()
        self.said.append(message)

    @property
    def content(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.said)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


async def call(application: Any, server: Server, **scope: Any) -> None:
    async with asyncio.timeout(30):
        await AsgiBridge(application)({**SCOPE, **scope}, server.receive, server.send)


def echo(environ: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    while piece := environ["wsgi.input"].read(3):
        yield piece


def test_both_ways() -> None:
    async def run() -> None:
        server = Server(b"abcd", b"", b"efghi")
        await call(echo, server)
        assert server.content == b"abcdefghi"
        first, *others = server.said
        assert first == {
            "type": "http.response.start", "status": 200,
            "headers": [(b"content-type", b"text/plain")],
        }  # fmt: skip
        assert [message["more_body"] for message in others] == [True] * (len(others) - 1) + [False]

    asyncio.run(run())


def test_a_body_waits_for_its_reader() -> None:
    async def run() -> None:
        server = Server(*[b"x" * 10] * 100)
        may_read = threading.Event()

        def slow(environ: Environ, start: Start) -> Iterable[bytes]:
            may_read.wait(30)
            yield from echo(environ, start)

        task = asyncio.create_task(call(slow, server))
        await until(lambda: server.heard == 1)
        await asyncio.sleep(0.05)
        assert server.heard == 1
        may_read.set()
        await task
        assert server.content == b"x" * 1000

    asyncio.run(run())


def test_an_answer_waits_for_its_reader() -> None:
    async def run() -> None:
        server = Server()
        server.takes.clear()
        made = 0

        def many(_environ: Environ, start: Start) -> Iterator[bytes]:
            nonlocal made
            start("200 OK", [])
            for _ in range(100):
                made += 1
                yield b"x" * 1000

        task = asyncio.create_task(call(many, server))
        await until(lambda: server.offered == 1)
        await asyncio.sleep(0.05)
        assert (made, server.offered) == (1, 1)
        server.takes.set()
        await task
        assert (made, len(server.content)) == (100, 100_000)

    asyncio.run(run())


def test_what_is_written_leaves_while_the_application_works() -> None:
    async def run() -> None:
        server = Server()
        go_on = threading.Event()

        def hook(_environ: Environ, start: Start) -> Iterable[bytes]:
            write = start("200 OK", [])
            write(b"while it runs")
            assert go_on.wait(30)
            return [b"; done"]

        task = asyncio.create_task(call(hook, server))
        await until(lambda: server.content == b"while it runs")
        go_on.set()
        await task
        assert server.content == b"while it runs; done"

    asyncio.run(run())


def test_a_client_that_goes_ends_a_computation() -> None:
    """What computes looks at a descriptor, as the core does."""

    async def run() -> None:
        server = Server()
        seen = threading.Event()

        def computing(environ: Environ, _start: Start) -> Iterable[bytes]:
            poll = select.poll()
            poll.register(environ["gitserve.socket"].fileno(), 0)
            assert not poll.poll(0)
            server_loop.call_soon_threadsafe(server.gone.set)
            assert poll.poll(30_000)[0][1] & (select.POLLERR | select.POLLHUP)
            seen.set()
            raise ConnectionAbortedError("as the core says it")

        server_loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionAbortedError):
            await call(computing, server)
        assert seen.is_set()

    asyncio.run(run())


def test_a_client_that_goes_ends_an_answer_and_a_body() -> None:
    async def run() -> None:
        closed = threading.Event()

        def endless(_environ: Environ, start: Start) -> Iterator[bytes]:
            start("200 OK", [])
            try:
                while True:
                    yield b"x"
            finally:
                closed.set()

        server = Server()
        task = asyncio.create_task(call(endless, server))
        await until(lambda: len(server.said) > 10)
        server.gone.set()
        await task
        assert closed.is_set()

        class Broken(Server):
            async def receive(self) -> Message:
                self.heard += 1
                if self.heard == 1:
                    return {"type": "http.request", "body": b"half", "more_body": True}
                return {"type": "http.disconnect"}

        heard: list[object] = []

        def reading(environ: Environ, _start: Start) -> Iterable[bytes]:
            try:
                while True:
                    heard.append(environ["wsgi.input"].read(100))
            except OSError as error:
                heard.append(type(error).__mro__[1])
                raise

        await call(reading, Broken())
        assert heard == [b"half", ConnectionAbortedError]

    asyncio.run(run())


def test_a_server_that_stops_ends_the_work() -> None:
    async def run() -> None:
        ended = threading.Event()

        def waiting(environ: Environ, start: Start) -> Iterable[bytes]:
            start("200 OK", [])
            try:
                environ["wsgi.input"].read(1)
            finally:
                ended.set()
            return []

        class Silent(Server):
            async def receive(self) -> Message:
                await asyncio.sleep(60)
                raise AssertionError

        task = asyncio.create_task(call(waiting, Silent()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 30)

    asyncio.run(run())


def test_a_failure_cuts_the_answer_off() -> None:
    async def run() -> None:
        def failing(_environ: Environ, start: Start) -> Iterator[bytes]:
            start("200 OK", [])
            yield b"half"
            raise ValueError("a bug")

        server = Server()
        with pytest.raises(ValueError, match="a bug"):
            await call(failing, server)
        assert server.said[-1]["more_body"]

    asyncio.run(run())


def test_one_request_too_many() -> None:
    async def run() -> None:
        bridge = AsgiBridge(echo, limits=BridgeLimits(max_requests=1))
        first, second = Server(b"x"), Server(b"x")
        first.takes.clear()
        task = asyncio.create_task(bridge(SCOPE, first.receive, first.send))
        await until(lambda: first.offered == 1)
        await bridge(SCOPE, second.receive, second.send)
        assert second.said[0]["status"] == 503
        first.takes.set()
        await task
        assert first.content == b"x"
        third = Server(b"y")
        await bridge(SCOPE, third.receive, third.send)
        assert third.content == b"y"

    asyncio.run(run())


def test_a_request_counts_for_as_long_as_it_has_a_thread() -> None:
    """Some servers give up on a request whose hook still runs."""

    async def run() -> None:
        go_on = threading.Event()

        def hook(_environ: Environ, start: Start) -> Iterable[bytes]:
            go_on.wait(30)
            return echo({"wsgi.input": io.BytesIO(b"x")}, start)

        bridge = AsgiBridge(hook, limits=BridgeLimits(max_requests=1))
        first, second = Server(b"x"), Server(b"x")
        task = asyncio.create_task(bridge(SCOPE, first.receive, first.send))
        await until(lambda: first.heard == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await bridge(SCOPE, second.receive, second.send)
        assert second.said[0]["status"] == 503
        go_on.set()

        async def again() -> int:
            third = Server(b"x")
            await bridge(SCOPE, third.receive, third.send)
            return int(third.said[0]["status"])

        async with asyncio.timeout(30):
            while await again() != 200:
                await asyncio.sleep(0.005)

    asyncio.run(run())


def test_a_body_that_comes_at_once() -> None:
    """Frameworks that have read it hand it over in one piece."""

    async def run() -> None:
        server = Server(bytes(range(256)) * 40)
        await call(echo, server)
        assert server.content == bytes(range(256)) * 40

    asyncio.run(run())


def test_silence_has_an_end() -> None:
    async def run() -> None:
        server = Server(b"first", b"never")

        async def receive() -> Message:
            if server.heard:
                await asyncio.sleep(60)
            return await server.receive()

        bridge = AsgiBridge(echo, limits=BridgeLimits(timeout=0.05))
        with pytest.raises(TimeoutError):
            await bridge(SCOPE, receive, server.send)

    asyncio.run(run())


def test_lifespan_and_what_is_not_served() -> None:
    async def run() -> None:
        asked = iter(["lifespan.startup", "lifespan.shutdown"])
        said: list[Message] = []

        async def receive() -> Message:
            return {"type": next(asked)}

        async def send(message: Message) -> None:
            said.append(message)

        await AsgiBridge(echo)({"type": "lifespan"}, receive, send)
        assert [message["type"] for message in said] == [
            "lifespan.startup.complete", "lifespan.shutdown.complete",
        ]  # fmt: skip
        with pytest.raises(ValueError, match="websocket"):
            await AsgiBridge(echo)({"type": "websocket"}, receive, send)

    asyncio.run(run())


def test_environment() -> None:
    headers = [
        (b"content-type", b"application/x-git-upload-pack-request"), (b"content-length", b"5"),
        (b"git-protocol", b"version=2"), (b"git_protocol", b"version=1"), (b"accept", b"a"),
        (b"accept", b"b"), (b"remote-user", b"mallory"),
    ]  # fmt: skip
    raw = b"/mounted/a%2Fb%FF/info/refs"
    scope = {
        **SCOPE, "root_path": "/mounted", "path": "/mounted/?", "raw_path": raw,
        "headers": headers, "query_string": b"service=git-upload-pack",
    }  # fmt: skip
    environ: Environ = dict(wsgi_environ(scope, "ann"))
    assert environ == {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "/mounted", "PATH_INFO": "/a/b\xff/info/refs",
        "QUERY_STRING": "service=git-upload-pack", "SERVER_NAME": "example.com",
        "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "https",
        "REMOTE_ADDR": "192.0.2.1", "REMOTE_USER": "ann", "CONTENT_LENGTH": "5",
        "CONTENT_TYPE": "application/x-git-upload-pack-request", "HTTP_ACCEPT": "a,b",
        "HTTP_GIT_PROTOCOL": "version=2", "HTTP_REMOTE_USER": "mallory",
    }  # fmt: skip
    assert "REMOTE_USER" not in wsgi_environ(SCOPE, None)


def test_who_waits_to_be_told_to_go_on_is_told_when_somebody_reads() -> None:
    async def run() -> None:
        server = Server(b"body")

        def refusing(_environ: Environ, start: Start) -> Iterable[bytes]:
            start("403 Forbidden", [])
            return [b"no"]

        await call(refusing, server, headers=[(b"expect", b"100-continue")])
        assert (server.heard, server.content) == (0, b"no")
        await call(echo, server, headers=[(b"expect", b"100-continue")])
        assert server.content == b"nobody"

    asyncio.run(run())
