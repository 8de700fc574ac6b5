"""Request bodies under the names of ``dulwich.web``: two filters and a reader of chunks.

In: WSGI calls on their way to an application. Out: the same with another ``wsgi.input``, which is
read in pieces, whatever it is wrapped in: chunks, gzip, or gzip in chunks.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from gitserve.options import HttpLimits
from gitserve.transport.httpbody import Announced, BadBody, Chunked, FromServer, Gunzip, Source

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

MAX_CHUNK_SIZE = 1 << 20
"""Bytes of a chunk that :class:`ChunkReader` keeps. The services read chunks in pieces."""

MAX_REQUEST_SIZE = 1 << 30
"""Bytes of a request that :class:`LimitedInputFilter` lets through, unless told otherwise."""

_LINE = 1024


class ChunkedEncodingError(ValueError):
    """A chunked body that is malformed, or too large."""


def _chunk_iter(
    f: BinaryIO, max_chunk_size: int = MAX_CHUNK_SIZE, max_total_size: int = MAX_REQUEST_SIZE
) -> Iterator[bytes]:
    total = 0
    while True:
        line = f.readline(_LINE)
        digits = line.rstrip(b"\r\n").partition(b";")[0].strip()
        if not line:
            raise ChunkedEncodingError("Truncated chunked stream")
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise ChunkedEncodingError("Invalid chunk size")
        length = int(digits, 16)
        if length > max_chunk_size:
            raise ChunkedEncodingError("Chunk size exceeds maximum allowed")
        if not length:
            return
        total += length
        if total > max_total_size:
            raise ChunkedEncodingError("Request body exceeds maximum allowed size")
        chunk = f.read(length)
        if len(chunk) < length or f.read(2) != b"\r\n":
            raise ChunkedEncodingError("Truncated chunked stream")
        yield chunk


class ChunkReader:
    """Reads what chunks hold."""

    def __init__(self, f: BinaryIO) -> None:
        self._chunks = _chunk_iter(f)
        self._waiting = bytearray()

    def read(self, n: int) -> bytes:
        """``n`` bytes, fewer only at the end. Raises :class:`ChunkedEncodingError`."""
        while len(self._waiting) < n and (chunk := next(self._chunks, None)) is not None:
            self._waiting += chunk
        data = bytes(self._waiting[:n])
        del self._waiting[:n]
        return data


class _LengthLimitedFile:
    """A file that ends after so many bytes; wsgiref's does not."""

    def __init__(self, input: BinaryIO, max_bytes: int) -> None:  # noqa: A002 - dulwich's name
        self._input = input
        self._bytes_avail = max_bytes

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        return self._taken(self._input.read, size)

    def read1(self, size: int = -1) -> bytes:
        """As a file's: what is there, without waiting for all of it."""
        return self._taken(getattr(self._input, "read1", self._input.read), size)

    def readline(self, size: int = -1) -> bytes:
        """As a file's."""
        return self._taken(self._input.readline, size)

    def _taken(self, read: Callable[[int], bytes], size: int) -> bytes:
        if self._bytes_avail <= 0:
            return b""
        if size < 0 or size > self._bytes_avail:
            size = self._bytes_avail
        data = read(size)
        self._bytes_avail -= len(data)
        return data


class _Pieces(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Inflated(io.BufferedReader):
    """What a gzip body holds; may be sought to where it is, as dulwich's can."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if offset or whence != io.SEEK_SET:
            raise io.UnsupportedOperation("seek")
        return 0


class GunzipFilter:
    """Decompresses what comes compressed, and takes chunks apart where the server has not."""

    limits = HttpLimits()
    """How much a body may become."""

    def __init__(self, application: WSGIApplication) -> None:
        self.app = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        if environ.get("HTTP_CONTENT_ENCODING", "").strip().lower() in ("gzip", "x-gzip"):
            source: Source = FromServer(environ["wsgi.input"])
            if dechunked := chunks_of(environ):
                source = dechunked
                del environ["HTTP_TRANSFER_ENCODING"]
            reader = _Inflated(_Pieces(Gunzip(source, self.limits)), 64 << 10)
            environ["wsgi.input"] = reader
            environ["wsgi.input_terminated"] = True
            del environ["HTTP_CONTENT_ENCODING"]
            environ.pop("CONTENT_LENGTH", None)
        return self.app(environ, start_response)


class LimitedInputFilter:
    """Ends the input where ``Content-Length`` says, and in any case somewhere."""

    def __init__(
        self, application: WSGIApplication, max_request_size: int = MAX_REQUEST_SIZE
    ) -> None:
        self.app = application
        self.max_request_size = max_request_size

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        length = str(environ.get("CONTENT_LENGTH", ""))
        limit = self.max_request_size
        if length.isascii() and length.isdigit():
            limit = min(limit, int(length[:19]))
        environ["wsgi.input"] = _LengthLimitedFile(environ["wsgi.input"], limit)
        return self.app(environ, start_response)


def chunks_of(environ: WSGIEnvironment) -> Chunked | None:
    """The input without its chunks, when it has any that the server has left there."""
    if environ.get("HTTP_TRANSFER_ENCODING", "").strip().lower() != "chunked":
        return None
    if environ.get("wsgi.input_terminated"):
        return None
    return Chunked(FromServer(environ["wsgi.input"]))


def body_of(environ: WSGIEnvironment) -> Source:
    """What a service reads. Raises :class:`~gitserve.transport.httpbody.BadBody`."""
    dechunked = chunks_of(environ)
    if dechunked is not None:
        return dechunked
    source = FromServer(environ["wsgi.input"])
    length = str(environ.get("CONTENT_LENGTH") or "")
    if not length:
        return source
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise BadBody("Content-Length is no number")
    return Announced(source, int(length))
