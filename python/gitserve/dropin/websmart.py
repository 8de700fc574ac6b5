"""The smart protocol's handlers, under dulwich's names.

In: a request whose application names the handler classes, a backend, and where the URL's path
matched. Out: the answer, written as the service's handler writes it. Must not know what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from gitserve.dropin.carrier import ReceivableProtocol
from gitserve.dropin.guard import client_of
from gitserve.dropin.handlers import Handler
from gitserve.dropin.lines import pkt_line
from gitserve.dropin.webdumb import ABSENT, get_refs_file, get_repo, no_repository
from gitserve.dropin.webinput import body_of
from gitserve.dropin.webrequest import HTTP_OK, HTTPGitRequest, Match, logger, url_prefix
from gitserve.errors import GitProtocolError, GitServeError
from gitserve.service.permission import NotPermitted
from gitserve.transport.httpbody import BadBody, read_to_end
from gitserve.wire.protocol_version import split_parameters

VERSION_2 = b"000eversion 2\n"


def get_info_refs(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """The refs: a service's advertisement, or the file for dumb clients."""
    try:
        service = parse_qs(req.environ.get("QUERY_STRING", ""), max_num_fields=16).get("service")
    except ValueError:
        service = None
    if not service or req.dumb:
        yield from get_refs_file(req, backend, mat)
        return
    try:
        get_repo(backend, mat)
    except ABSENT:
        yield no_repository(req, mat)
        return
    name = service[0]
    handler_class = _handler_class(req, name)
    if isinstance(handler_class, bytes):
        yield handler_class
        return

    def begin() -> Callable[[bytes], object]:
        req.nocache()
        return req.respond(HTTP_OK, f"application/x-{name}-advertisement")

    said = _Advertised(b"# service=%b\n" % name.encode("ascii"), begin)
    proto = ReceivableProtocol(BytesIO().read, said.write)
    args = [url_prefix(mat), *_parameters(req)]
    handler = handler_class(backend, args, proto, stateless_rpc=True, advertise_refs=True)
    refusal = _refusal(req, handler, mat)
    if refusal is not None:
        yield refusal
        return
    _handle(handler)
    said.write(b"")


class _Advertised:
    """Names the service in front, which version 2 leaves out; a handler may have chosen another
    version than the client asked for. The answer begins with its first bytes."""

    def __init__(self, service: bytes, begin: Callable[[], Callable[[bytes], object]]) -> None:
        self._service = service
        self._begin = begin
        self._to: Callable[[bytes], object] | None = None

    def write(self, data: bytes) -> int:
        if self._to is None:
            self._to = self._begin()
            if not data.startswith(VERSION_2):
                self._to(pkt_line(self._service) + pkt_line(None))
        if data:
            self._to(data)
        return len(data)


def handle_service_request(req: HTTPGitRequest, backend: Any, mat: Match) -> Iterator[bytes]:
    """A service's request and answer."""
    service = mat.group().lstrip("/")
    # no browser sends this type across origins without asking first
    if req.environ.get("CONTENT_TYPE") != f"application/x-{service}-request":
        yield req.forbidden("Invalid Content-Type")
        return
    handler_class = _handler_class(req, service)
    if isinstance(handler_class, bytes):
        yield handler_class
        return
    try:
        get_repo(backend, mat)
    except ABSENT:
        yield no_repository(req, mat)
        return
    req.nocache()
    answer = _Answer(req, f"application/x-{service}-result")
    try:
        read = answer.reading(body_of(req.environ))
        proto = ReceivableProtocol(read, answer.write)
        args = [url_prefix(mat).encode("utf-8"), *_parameters(req)]
        handler = handler_class(backend, args, proto, stateless_rpc=True)
        refusal = _refusal(req, handler, mat)
        if refusal is not None:
            yield refusal
            return
        _handle(handler, read)
    except BadBody as error:
        answer.failure = error
    if answer.failure is not None and not answer.begun:
        yield req.refuse(answer.failure.status, str(answer.failure))
        return
    answer.begin()


class _Answer:
    """An answer that begins with its first byte; until then it may become another."""

    def __init__(self, req: HTTPGitRequest, content_type: str) -> None:
        self._req = req
        self._content_type = content_type
        self._write: Callable[[bytes], object] | None = None
        self.failure: BadBody | None = None

    @property
    def begun(self) -> bool:
        return self._write is not None

    def reading(self, source: Any) -> Callable[[int], bytes]:
        def read(size: int) -> bytes:
            try:
                data: bytes = source.read(size)
            except BadBody as error:
                self.failure = error
                raise
            return data

        return read

    def write(self, data: bytes) -> int:
        self.begin()(data)
        return len(data)

    def begin(self) -> Callable[[bytes], object]:
        if self._write is None:
            if self.failure is not None:
                return len  # the status tells it
            self._write = self._req.respond(HTTP_OK, self._content_type)
        return self._write


def _handler_class(req: HTTPGitRequest, service: str) -> Any:
    """The class, or the text of a refusal whose answer has begun."""
    if req.handlers is None:
        return req.forbidden("No handlers configured")
    found = req.handlers.get(service.encode("ascii", "replace"))
    return req.forbidden("Unsupported service") if found is None else found


def _refusal(req: HTTPGitRequest, handler: Any, mat: Match) -> bytes | None:
    """The text of a policy's no, whose answer has begun; None: it may go on."""
    if not isinstance(handler, Handler):
        return None
    try:
        handler.admit("http", *client_of(req.environ))
    except NotPermitted as error:
        logger.warning("%s", error)
        if error.told is None:
            return no_repository(req, mat)
        return req.forbidden(error.told.decode())
    return None


def _parameters(req: HTTPGitRequest) -> list[bytes]:
    header = req.environ.get("HTTP_GIT_PROTOCOL", "").encode("latin-1", "replace")
    return list(split_parameters(header))


def _handle(handler: Any, read: Callable[[int], bytes] | None = None) -> None:
    try:
        handler.handle()
        if read is not None:
            read_to_end(read)
    except (GitServeError, GitProtocolError) as error:
        # the session has told the client what it may know
        logger.warning("%s: %s", type(error).__name__, error)
