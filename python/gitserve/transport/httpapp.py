"""Git over HTTP, as a WSGI application.

In: WSGI calls from any server, on any thread. Out: what git-http-backend(1) answers, one log line
each. Fetches are pulled: the answer is an iterator of the core's own buffers. Pushes are written
through WSGI's ``write``, because what a hook says must reach the pusher while the hook runs. Must
not know what is negotiated; :mod:`gitserve.service.requests` is called for that.

Git's documents: gitprotocol-http; gitprotocol-v2, "HTTP Transport".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitserve.errors import (
    Busy,
    GitServeError,
    HangupError,
    NoRepository,
    PeerError,
    PeerTimeout,
    Refused,
)
from gitserve.options import HttpLimits
from gitserve.policy import Request as Asking
from gitserve.record import Record
from gitserve.repository.hiderefs import hidden_patterns
from gitserve.repository.native import NativeRepository
from gitserve.service.permission import NotPermitted, admit
from gitserve.service.requests import (
    Manner,
    ServiceOptions,
    archive_steps,
    serve_receive,
    upload_steps,
)
from gitserve.service.streams import Conversation
from gitserve.session.failure import client_text
from gitserve.transport.admission import Admission
from gitserve.transport.exports import Exports, NotExported
from gitserve.transport.httpanswer import (
    Answer,
    Direct,
    Exchange,
    NoBody,
    PulledConversation,
    Written,
)
from gitserve.transport.httpbody import (
    BAD_REQUEST,
    REQUEST_TIMEOUT,
    UNSUPPORTED_MEDIA_TYPE,
    BadBody,
    Body,
    open_body,
    read_to_end,
)
from gitserve.transport.httpfiles import File, dumb_file
from gitserve.transport.httprange import Unsatisfiable, wanted
from gitserve.transport.httprequest import (
    FORBIDDEN,
    NO_CACHE,
    NOT_FOUND,
    OK,
    PARTIAL,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    UNSATISFIABLE,
    HttpError,
    Request,
    Resource,
    parse,
)
from gitserve.transport.log import Log
from gitserve.transport.outbox import Outbox
from gitserve.transport.services import (
    DEFAULT_SERVICES,
    RECEIVE_PACK,
    UPLOAD_ARCHIVE,
    UPLOAD_PACK,
    ServiceRule,
)
from gitserve.wire.malformed import quoted
from gitserve.wire.pktline import FLUSH_PKT, encode

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

INTERNAL = "internal server error"
EMPTY = "empty request body"
"""A client that only looks whether it may push sends a flush."""

RETRY_AFTER = 10
"""Seconds: what a client is told that came when too many waited already."""

CLIENT_SOCKET = "gitserve.socket"
"""Where our own servers put the connection, or the pipe, in a request's environment."""

DIRECT = "gitserve.direct"
"""Is in the environment of a server that lets others answer: a :class:`Direct`."""

TAKES_CHUNKS = "gitserve.takes_chunks"
"""Is in the environment of a server that takes the core's own chunks where WSGI has bytes."""

OBJECT_FILES = frozenset((Resource.LOOSE, Resource.PACK, Resource.INDEX))
"""What the dumb protocol gives away whole."""

Find = Callable[[bytes], NativeRepository]
"""From a requested path to a repository. Raises :class:`NotExported`, :class:`NoRepository`."""


def find_exported(exports: Exports) -> Find:
    """By the rules of :mod:`gitserve.transport.exports`."""
    return Admission(exports).open


def _client(environ: Mapping[str, Any]) -> int | None:
    """The descriptor of the client's connection, from servers that show it."""
    connection = environ.get(CLIENT_SOCKET) or environ.get("gunicorn.socket")
    return connection.fileno() if connection is not None else None


def _may_have(resource: Resource, repository: NativeRepository, hidden: Sequence[bytes]) -> bool:
    """``http.getanyfile``. Files of objects hold those of hidden refs too, and nobody needs an id
    to get them; so they are to be had beside hidden refs only where that is said, and never beside
    those that a policy hides (``hidden``)."""
    if hidden and resource in OBJECT_FILES:
        return False
    allowed = repository.config.get_optional_bool("http.getanyfile")
    if allowed is not None or resource not in OBJECT_FILES:
        return allowed is not False
    return not hidden_patterns(repository.config, "uploadpack", repository.namespace)


def _most_wanted(repository: NativeRepository, limits: HttpLimits) -> int:
    """Bytes of a fetch's request: ``http.maxRequestBuffer``. We do not buffer it, so that more than
    git's 10 MB may pass where nobody says."""
    if limits.fetch_bytes_are_final:
        return limits.max_fetch_bytes
    configured = repository.config.get_int("http.maxrequestbuffer", 0)
    return configured if configured > 0 else limits.max_fetch_bytes


def shown_error(error: Exception) -> str:
    """For the log."""
    if isinstance(error, Refused):
        return f"refused: {error}"
    if isinstance(error, PeerError):
        return f"client failed: {error}"
    return f"failed: {type(error).__name__}: {error}"


def failed_body(failure: GitServeError) -> HttpError:
    """The answer to a request that could not be read to its end."""
    status = BAD_REQUEST
    if isinstance(failure, BadBody):
        status = failure.status
    elif isinstance(failure, PeerTimeout):
        status = REQUEST_TIMEOUT
    return HttpError(status, client_text(failure).decode(), f"client failed: {failure}")


def _asking(name: str, exchange: Exchange, repository: NativeRepository) -> Asking:
    """Who, by the word of the web server in front."""
    environ = exchange.environ
    user, address = environ.get("REMOTE_USER"), environ.get("REMOTE_ADDR")
    return Asking(name, repository.git_dir, "http", user or None, address or None)


def _part_of(file: File, environ: Mapping[str, Any]) -> str | None:
    """What ``Content-Range`` says, when the file is cut to a part; None: it stays whole."""
    asked = environ.get("HTTP_RANGE", "")
    if not asked or isinstance(file.content, bytes) or environ.get("REQUEST_METHOD") != "GET":
        return None
    size, condition = file.size, environ.get("HTTP_IF_RANGE", "")
    try:
        span = wanted(asked, condition, size=size, tag=file.tag, modified=file.modified)
    except Unsatisfiable:
        file.close()
        raise HttpError(UNSATISFIABLE, content_range=f"bytes */{size}") from None
    if span is None:
        return None
    file.cut(span)
    return f"bytes {span.start}-{span.end - 1}/{size}"


class GitHttp(Record):
    """The application. Serves any number of requests at once."""

    find: Find
    services: Mapping[str, ServiceRule] = DEFAULT_SERVICES
    options: ServiceOptions = ServiceOptions()
    limits: HttpLimits = HttpLimits()
    log: Log = Log()
    log_well: bool = True
    """Log what went well, too; a web server in front of us has a log of its own."""

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse, /
    ) -> Iterable[bytes]:
        """PEP 3333."""
        exchange = Exchange(environ, start_response)
        try:
            return self._answer(exchange)
        except HttpError as error:
            exchange.result = str(error)
            return self._refuse(exchange, error)
        except BadBody as error:
            exchange.result = shown_error(error)
            return self._refuse(exchange, failed_body(error))
        except Exception as error:  # noqa: BLE001 - a bug of ours ends one request, and tells nothing
            exchange.result = shown_error(error)
            return self._refuse(exchange, HttpError(SERVER_ERROR, client_text(error).decode()))

    def _answer(self, exchange: Exchange) -> Iterable[bytes]:
        request = exchange.request = parse(exchange.environ)
        repository = self._open(request)
        if request.service is None:
            self._permitted("files", exchange, repository)
            return self._dumb(exchange, request, repository)
        name = self._admitted(request.service, repository)
        self._permitted(name, exchange, repository)
        if request.resource is Resource.INFO_REFS:
            return self._advertise(exchange, request, repository, name)
        expected = f"application/x-{request.service}-request"
        received = exchange.environ.get("CONTENT_TYPE", "")
        if received != expected:
            # no browser sends this type without asking first, so no page can push for its reader
            raise HttpError(UNSUPPORTED_MEDIA_TYPE, f"expected POST with Content-Type '{expected}'")
        pushes = name == RECEIVE_PACK
        most = self.limits.max_push_bytes if pushes else _most_wanted(repository, self.limits)
        body = open_body(exchange.environ, self.limits, most)
        if pushes:
            return self._push(exchange, request, repository, body)
        return self._fetch(exchange, request, repository, body, name)

    # --- who may have what ------------------------------------------------------------------

    def _open(self, request: Request) -> NativeRepository:
        try:
            return self.find(request.repository)
        except (NotExported, NoRepository) as error:
            raise HttpError(NOT_FOUND, reason=f"refused: {error}") from error

    def _admitted(self, service: str, repository: NativeRepository) -> str:
        name = service.removeprefix("git-")
        rule = self.services.get(name)
        if rule is None or not service.startswith("git-"):
            raise HttpError(FORBIDDEN, "unsupported service")
        if not rule.allows(name, repository.config, "http"):
            raise HttpError(FORBIDDEN, f"service not enabled: {name}")
        return name

    def _permitted(self, name: str, exchange: Exchange, repository: NativeRepository) -> None:
        try:
            exchange.hidden = admit(self.options.policy, _asking(name, exchange, repository))
        except NotPermitted as error:
            if error.told is None:
                raise HttpError(NOT_FOUND, reason=f"refused: {error}") from error
            raise HttpError(FORBIDDEN, error.told.decode(), f"refused: {error}") from error

    # --- the smart protocol -----------------------------------------------------------------

    def _advertise(
        self, exchange: Exchange, request: Request, repository: NativeRepository, name: str
    ) -> Iterable[bytes]:
        outbox = Outbox()
        conversation = exchange.conversation = Conversation(NoBody(), outbox)
        asking = _asking(name, exchange, repository)
        manner = Manner(
            request.version, stateless=True, advertise_only=True, request=asking,
            hidden=exchange.hidden, gives_bundles=True,
        )  # fmt: skip
        if request.version != 2:
            conversation.write(encode(b"# service=git-%b\n" % name.encode()) + FLUSH_PKT)
        try:
            if name == UPLOAD_PACK:
                for _ in upload_steps(
                    repository, conversation, manner, self.options, exchange.tally
                ):
                    pass
            elif name == UPLOAD_ARCHIVE:
                # there is nothing to be told before a tree is asked for: git says as little
                conversation.write(encode(b"version 2\n") + FLUSH_PKT)
                conversation.flush()
            else:
                serve_receive(repository, conversation, manner, self.options, exchange.tally)
        except GitServeError as error:
            exchange.result = shown_error(error)
            # the session has told the client where it could, and that is an answer in full
            if not conversation.sent:
                raise
        pieces = outbox.take()
        headers = [
            *NO_CACHE,
            ("Content-Type", f"application/x-git-{name}-advertisement"),
            ("Content-Length", str(sum(map(len, pieces)))),
        ]
        exchange.start(OK, headers)
        self._log(exchange)
        return () if request.is_head else pieces

    def _fetch(
        self,
        exchange: Exchange,
        request: Request,
        repository: NativeRepository,
        body: Body,
        name: str,
    ) -> Iterable[bytes]:
        """A fetch, or an archive."""
        outbox = Outbox(takes_chunks=TAKES_CHUNKS in exchange.environ)
        headers = [*NO_CACHE, ("Content-Type", f"application/x-git-{name}-result")]
        direct: Direct | None = exchange.environ.get(DIRECT)
        conversation = exchange.conversation = PulledConversation(
            body, outbox, _client(exchange.environ),
            None if direct is None else lambda: direct.head(OK, headers),
        )  # fmt: skip
        manner = Manner(request.version, stateless=True, hidden=exchange.hidden, gives_bundles=True)
        if name == UPLOAD_ARCHIVE:
            steps = archive_steps(repository, conversation, exchange.hidden)
        else:
            steps = upload_steps(repository, conversation, manner, self.options, exchange.tally)
        pieces = self._pull(exchange, steps, outbox, body)
        # nothing is sent before the first piece is there: until then the status may still change
        first = next(pieces, b"")
        if direct is not None and conversation.is_let_go:
            exchange.start(OK, headers)
            direct.has_begun()
            return Answer(first, pieces, lambda: self._log(exchange))
        if exchange.tally.busy:
            pieces.close()
            raise HttpError(
                TOO_MANY_REQUESTS, client_text(Busy()).decode(), retry_after=RETRY_AFTER
            )
        if body.failure is not None:
            pieces.close()
            raise failed_body(body.failure)
        if not first and exchange.result != "ok":
            raise HttpError(SERVER_ERROR, INTERNAL, exchange.result)
        if not conversation.received:
            raise HttpError(BAD_REQUEST, EMPTY)
        exchange.start(OK, headers)
        return Answer(first, pieces, lambda: self._log(exchange))

    @staticmethod
    def _pull(
        exchange: Exchange, steps: Generator[None, None, None], outbox: Outbox, body: Body
    ) -> Generator[bytes, None, None]:
        try:
            for _ in steps:
                try:
                    yield from outbox.take()
                except GitServeError as error:  # of a server that sends what the core lends
                    steps.throw(error)
            read_to_end(body.read)
        except GeneratorExit:
            exchange.result = f"client failed: {HangupError.GONE}"
            raise
        except Exception as error:  # noqa: BLE001 - what the session could tell is in the outbox
            exchange.result = shown_error(error)
        yield from outbox.take()

    def _push(
        self, exchange: Exchange, request: Request, repository: NativeRepository, body: Body
    ) -> Iterable[bytes]:
        answer = Written(exchange, body)
        conversation = exchange.conversation = Conversation(body, answer)
        asking = _asking(RECEIVE_PACK, exchange, repository)
        manner = Manner(request.version, stateless=True, request=asking, hidden=exchange.hidden)
        try:
            serve_receive(repository, conversation, manner, self.options, exchange.tally)
            read_to_end(body.read)
        except Exception as error:  # noqa: BLE001 - the session has told the client what it may know
            exchange.result = shown_error(error)
        if body.failure is not None and not answer.begun:
            raise failed_body(body.failure)
        if exchange.result != "ok" and not answer.begun:
            raise HttpError(SERVER_ERROR, INTERNAL, exchange.result)
        if not conversation.received:
            raise HttpError(BAD_REQUEST, EMPTY)
        answer.begin()
        self._log(exchange)
        return ()

    # --- the dumb protocol ------------------------------------------------------------------

    def _dumb(
        self, exchange: Exchange, request: Request, repository: NativeRepository
    ) -> Iterable[bytes]:
        if request.resource in (Resource.BUNDLES, Resource.BUNDLE):
            self._admitted("git-upload-pack", repository)
            if exchange.hidden:
                raise HttpError(NOT_FOUND, reason="a bundle has what the policy hides")
        elif not _may_have(request.resource, repository, exchange.hidden):
            raise HttpError(FORBIDDEN, "unsupported service: getanyfile")
        now = time.time()
        file = dumb_file(repository, request.resource, request.file, now, exchange.hidden)
        if file is None:
            raise HttpError(NOT_FOUND, reason=f"no file {request.file}")
        status, part = OK, _part_of(file, exchange.environ)
        headers = [
            *file.headers,
            ("Content-Type", file.content_type),
            ("Content-Length", str(file.size)),
        ]
        if part is not None:
            status = PARTIAL
            headers.append(("Content-Range", part))
        exchange.start(status, headers)
        exchange.tally.pack_bytes = file.size
        self._log(exchange)
        return self._sent(exchange, request, file, whole=part is None)

    @staticmethod
    def _sent(exchange: Exchange, request: Request, file: File, *, whole: bool) -> Iterable[bytes]:
        if request.is_head:
            file.close()
            return ()
        wrapper = exchange.environ.get("wsgi.file_wrapper")
        if wrapper is not None and whole and not isinstance(file.content, bytes):
            wrapped: Iterable[bytes] = wrapper(file.content)  # servers know sendfile
            return wrapped
        return file.pieces()

    # --- endings ----------------------------------------------------------------------------

    def _refuse(self, exchange: Exchange, error: HttpError) -> Iterable[bytes]:
        text = (error.text or error.status.partition(" ")[2]).encode() + b"\n"
        headers = [
            *error.headers(),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
        ]
        exchange.start(error.status, headers)
        self._log(exchange)
        return () if exchange.environ.get("REQUEST_METHOD") == "HEAD" else (text,)

    def _log(self, exchange: Exchange) -> None:
        for warning in exchange.tally.warnings:
            self.log.line(f"warning: {warning}")
        if exchange.tally.remembered:
            self.log.detail(exchange.tally.remembered)
        asked = exchange.request
        found = exchange.status != NOT_FOUND or asked is None or asked.service is not None
        # a dumb client asks for thousands of files that are not there: it is how it looks for them
        well = (
            exchange.status in (OK, PARTIAL)
            and exchange.result == "ok"
            and not exchange.tally.trouble
        )
        say = self.log.line if found and (self.log_well or not well) else self.log.detail
        environ, tally, said = exchange.environ, exchange.tally, exchange.conversation
        peer = environ.get("REMOTE_ADDR", "-")
        if environ.get("REMOTE_USER"):
            peer = f"{environ['REMOTE_USER']}@{peer}"
        result = tally.outcome(exchange.result)
        pushed = f" updated={tally.updated} refused={tally.refused}" if tally.commanded else ""
        version = f" v{exchange.request.version}" if exchange.request is not None else ""
        say(
            f"{peer} {environ.get('REQUEST_METHOD', '-')}"
            f" '{quoted(environ.get('PATH_INFO', '').encode('latin-1', 'replace'))}'{version}:"
            f" {exchange.status.partition(' ')[0]} {result}; objects={tally.objects}{pushed}"
            f" sent={said.sent if said else tally.pack_bytes}"
            f" received={said.received if said else 0}"
            f" seconds={time.perf_counter() - exchange.begun:.3f}"
        )
