"""The body of an HTTP request, as what services read.

In: a WSGI environment, whose server may or may not have taken the chunks apart. Out: the plain
bytes, in pieces, in constant memory: of the announced length, or dechunked, then decompressed, then
counted. A body that is not what its headers say is the peer's fault, with the status that tells so.

RFC 9112, sections 6 and 7.1; RFC 9110, section 8.4; PEP 3333, "Input and Error Streams".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gitserve.errors import GitServeError, HangupError, PeerError, PeerTimeout
from gitserve.options import HttpLimits

BAD_REQUEST = "400 Bad Request"
REQUEST_TIMEOUT = "408 Request Timeout"
TOO_LARGE = "413 Content Too Large"
UNSUPPORTED_MEDIA_TYPE = "415 Unsupported Media Type"
NOT_IMPLEMENTED = "501 Not Implemented"

MAX_LENGTH_DIGITS = 18
"""Of a length or a chunk's size: more than any disk holds."""

MAX_CHUNK_LINE = 1024
"""Bytes of a chunk's size and extensions. Nobody has use for extensions."""

MAX_TRAILERS = 16 << 10
"""Bytes of what follows the last chunk; read and dropped."""


MAX_LEFT = 64 << 10
"""Bytes behind a request; read and dropped. Nothing is due there, and nobody waits for more."""


class BadBody(PeerError):
    """A request that cannot be read as its headers say."""

    def __init__(self, message: str, status: str = BAD_REQUEST) -> None:
        super().__init__(message, wire=message.encode())
        self.status = status


class Source(Protocol):
    """One stage: at most ``size`` bytes; ``b""`` at the end."""

    def read(self, size: int, /) -> bytes: ...


class ServerStream(Source, Protocol):
    """``wsgi.input``."""

    def readline(self, size: int, /) -> bytes: ...


class Body:
    """The whole way from the server's stream to the session."""

    __slots__ = ("_limit", "_source", "_taken", "failure")

    def __init__(self, source: Source, limit: int = 0) -> None:
        """``limit``: bytes in all; 0 for none."""
        self._source = source
        self._limit = limit
        self._taken = 0
        self.failure: GitServeError | None = None
        """What was wrong with it, once something was."""

    def read(self, size: int, /) -> bytes:
        """See :class:`~gitserve.service.streams.ByteSource`."""
        try:
            data = self._source.read(size)
            self._taken += len(data)
            if self._limit and self._taken > self._limit:
                raise BadBody("request too large", TOO_LARGE)
        except GitServeError as error:
            self.failure = error
            raise
        return data


def open_body(environ: Mapping[str, Any], limits: HttpLimits, max_bytes: int) -> Body:
    """The body of this request. Raises :class:`BadBody` for headers that already say too much."""
    server = FromServer(environ["wsgi.input"])
    # gunicorn, Waitress, mod_wsgi and others have dechunked, and say that reading to the end is
    # safe; wsgiref and plain CGI have done nothing
    terminated = bool(environ.get("wsgi.input_terminated"))
    coding = environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower()
    length = environ.get("CONTENT_LENGTH", "").strip()
    source: Source
    if coding and not terminated:
        if coding != "chunked":
            raise BadBody("unknown transfer encoding", NOT_IMPLEMENTED)
        if length:
            # two ends may disagree on which one holds: how requests are smuggled
            raise BadBody("both Transfer-Encoding and Content-Length")
        source = Chunked(server)
    elif length:
        source = Announced(server, _length(length, max_bytes))
    elif terminated:
        source = server
    else:
        source = Announced(server, 0)
    return Body(decompressed(source, environ, limits), max_bytes)


def read_to_end(read: Callable[[int], bytes]) -> None:
    """Takes what follows a request that has been understood: the end of its chunks, if nothing
    else. Raises as ``read``.

    To be called before the answer ends: clients break off what they send once they have all of it,
    and git then takes the rest of one request for the beginning of the next.
    """
    left = MAX_LEFT
    while left > 0 and (data := read(left)):
        left -= len(data)


def decompressed(source: Source, environ: Mapping[str, Any], limits: HttpLimits) -> Source:
    """What ``Content-Encoding`` says. Raises :class:`BadBody` for one that we do not know."""
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if encoding in ("", "identity"):
        return source
    if encoding in ("gzip", "x-gzip"):
        return Gunzip(source, limits)
    raise BadBody("unknown content encoding", UNSUPPORTED_MEDIA_TYPE)


def _length(text: str, max_bytes: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_LENGTH_DIGITS:
        raise BadBody("Content-Length is no number")
    length = int(text)
    if max_bytes and length > max_bytes:
        raise BadBody("request too large", TOO_LARGE)
    return length


class FromServer:
    """``wsgi.input``, with its errors as the peer's."""

    __slots__ = ("_read", "_stream")

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream
        # one system call's worth where that can be had, else a server may wait for all of it
        self._read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)

    def read(self, size: int, /) -> bytes:
        """Whatever there is; ``b""`` at the end."""
        return self._guarded(self._read, size)

    def readline(self, limit: int, /) -> bytes:
        """Up to a line feed, or ``limit`` bytes."""
        return self._guarded(self._stream.readline, limit)

    def _guarded(self, call: Callable[[int], bytes], size: int) -> bytes:
        try:
            return call(size)
        except TimeoutError as error:
            raise PeerTimeout("the client sent nothing for too long") from error
        except OSError as error:
            raise HangupError(HangupError.GONE) from error
        except Exception as error:
            # servers have errors of their own for what they find in a body
            raise BadBody("malformed request body") from error


class Announced:
    """``Content-Length`` bytes, and an error when there are fewer."""

    __slots__ = ("_left", "_source")

    def __init__(self, source: Source, length: int) -> None:
        self._source = source
        self._left = length

    def read(self, size: int, /) -> bytes:
        """See :class:`Source`."""
        if not self._left:
            return b""
        data = self._source.read(min(size, self._left))
        if not data:
            raise BadBody("request body is shorter than its Content-Length")
        self._left -= len(data)
        return data


class Chunked:
    """The data of a chunked body."""

    __slots__ = ("_ended", "_left", "_source")

    def __init__(self, source: FromServer) -> None:
        self._source = source
        self._left = 0
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """See :class:`Source`."""
        if not self._left and not self._ended:
            self._left = self._next_size()
            if not self._left:
                self._skip_trailers()
                self._ended = True
        if self._ended:
            return b""
        data = self._source.read(min(size, self._left))
        if not data:
            raise BadBody("request body ended inside a chunk")
        self._left -= len(data)
        if not self._left and self._source.readline(2) != b"\r\n":
            raise BadBody("malformed chunk")
        return data

    def _next_size(self) -> int:
        line = self._source.readline(MAX_CHUNK_LINE)
        if not line.endswith(b"\r\n"):
            raise BadBody("malformed chunk" if line else "request body ended between chunks")
        # int() takes signs and underlines, so the digits are looked at first
        digits = line[:-2].partition(b";")[0].rstrip(b" \t")
        if not digits or len(digits) > MAX_LENGTH_DIGITS or digits.strip(b"0123456789abcdefABCDEF"):
            raise BadBody("malformed chunk")
        return int(digits, 16)

    def _skip_trailers(self) -> None:
        left = MAX_TRAILERS
        while left > 0:
            line = self._source.readline(left)
            if line in (b"\r\n", b"\n"):
                return
            if not line:
                raise BadBody("request body ended inside its trailers")
            left -= len(line)
        raise BadBody("too many trailers")


class Gunzip:
    """What a gzip body holds. Memory is bounded whatever it claims to become."""

    __slots__ = ("_began", "_compressed", "_inflate", "_inflated", "_limits", "_source", "_waiting")

    def __init__(self, source: Source, limits: HttpLimits) -> None:
        self._source = source
        self._limits = limits
        self._inflate = zlib.decompressobj(wbits=31)
        self._waiting = b""
        self._began = False
        self._compressed = 0
        self._inflated = 0

    def read(self, size: int, /) -> bytes:
        """See :class:`Source`."""
        while True:
            waiting = self._waiting
            if not waiting:
                waiting = self._source.read(size)
                self._compressed += len(waiting)
                if not waiting:
                    if self._began:
                        raise BadBody("request ended in the middle of the gzip stream")
                    return b""
            self._began = True
            try:
                data = self._inflate.decompress(waiting, size)
            except zlib.error as error:
                raise BadBody("request body is no gzip stream") from error
            self._waiting = self._inflate.unconsumed_tail
            if self._inflate.eof:
                # several streams, one behind the other, are one: RFC 1952, section 2.2
                self._waiting = self._inflate.unused_data
                self._inflate = zlib.decompressobj(wbits=31)
                self._began = False
            if data:
                self._count(len(data))
                return data

    def _count(self, size: int) -> None:
        self._inflated += size
        limits = self._limits
        if (
            self._inflated > limits.expansion_counts_from
            and self._inflated > limits.max_expansion * self._compressed
        ):
            raise BadBody("request expands too much", TOO_LARGE)
