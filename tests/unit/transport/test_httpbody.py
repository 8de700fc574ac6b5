"""Bodies: what their headers promise, and what becomes of those that lie."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from gitserve.errors import GitServeError, HangupError, PeerTimeout
from gitserve.options import HttpLimits
from gitserve.transport.httpbody import BadBody, open_body

SMALL = HttpLimits(max_expansion=10, expansion_counts_from=1000)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def environ(content: bytes, **headers: str) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(content), **headers}


def read_all(
    given: dict[str, Any], limits: HttpLimits = SMALL, most: int = 0, size: int = 7
) -> bytes:
    body = open_body(given, limits, most)
    pieces = []
    while piece := body.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert body.read(size) == b"", "the end stays the end"
    return b"".join(pieces)


def test_the_announced_length_and_no_more() -> None:
    assert read_all(environ(b"body and the next request", CONTENT_LENGTH="4")) == b"body"


def test_without_a_length_there_is_no_body() -> None:
    assert read_all(environ(b"the next request")) == b""
    assert read_all(environ(b"the next request", CONTENT_LENGTH="")) == b""


def test_a_server_that_ends_its_input_is_believed() -> None:
    assert read_all(environ(b"all of it", **{"wsgi.input_terminated": True})) == b"all of it"
    dechunked = environ(
        b"all of it", HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True}
    )
    assert read_all(dechunked) == b"all of it"


def test_chunks() -> None:
    content = chunked(b"one", b"x" * 100, b"two") + b"the next request"
    given = environ(content, HTTP_TRANSFER_ENCODING="Chunked")
    assert read_all(given) == b"one" + b"x" * 100 + b"two"
    assert given["wsgi.input"].read() == b"the next request"


def test_chunk_extensions_and_trailers_are_dropped() -> None:
    content = b'4;name="value"\r\nbody\r\n000\r\nTrailer: one\r\nAnother: two\r\n\r\nrest'
    given = environ(content, HTTP_TRANSFER_ENCODING="chunked")
    assert read_all(given) == b"body"
    assert given["wsgi.input"].read() == b"rest"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"4\r\nbody",
        b"4\r\nbo",
        b"4\r\nbodyX\r\n0\r\n\r\n",
        b"4\r\nbody\r\n",
        b"4\r\nbody\r\n0\r\n",
        b"4\nbody\n0\n\n",
        b"-4\r\nbody\r\n0\r\n\r\n",
        b"+4\r\nbody\r\n0\r\n\r\n",
        b"0x4\r\nbody\r\n0\r\n\r\n",
        b"1_0\r\nbody\r\n0\r\n\r\n",
        b"\r\nbody\r\n0\r\n\r\n",
        b"zz\r\nbody\r\n0\r\n\r\n",
        b"f" * 40 + b"\r\nbody",
        b"4;" + b"x" * 5000 + b"\r\nbody\r\n0\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * 10000 + b"\r\n",
    ],
)
def test_malformed_chunks(content: bytes) -> None:
    with pytest.raises(BadBody) as caught:
        read_all(environ(content, HTTP_TRANSFER_ENCODING="chunked"))
    assert caught.value.status.startswith("400")


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("coding", [chunked, None])
def test_gzip_alone_and_in_chunks(
    compress: Callable[[bytes], bytes], coding: Callable[[bytes], bytes] | None
) -> None:
    content = bytes(range(256)) * 3
    sent = compress(content)
    given = environ(sent, CONTENT_LENGTH=str(len(sent)), HTTP_CONTENT_ENCODING="gzip")
    if coding is not None:
        given = environ(
            coding(sent), HTTP_TRANSFER_ENCODING="chunked", HTTP_CONTENT_ENCODING="x-gzip"
        )
    if compress is gzip.compress:
        assert read_all(given) == content
        return
    with pytest.raises(BadBody, match="no gzip stream"):
        read_all(given)


def test_several_gzip_streams_are_one() -> None:
    sent = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    given = environ(sent, CONTENT_LENGTH=str(len(sent)), HTTP_CONTENT_ENCODING="gzip")
    assert read_all(given) == b"one two"


@pytest.mark.parametrize("cut", [1, 5, 15, 30])
def test_cut_off_gzip(cut: int) -> None:
    sent = gzip.compress(bytes(range(200)))[:-cut]
    given = environ(sent, CONTENT_LENGTH=str(len(sent)), HTTP_CONTENT_ENCODING="gzip")
    with pytest.raises(BadBody, match="middle of the gzip stream"):
        read_all(given)


def test_a_bomb_ends_early() -> None:
    sent = gzip.compress(bytes(10 << 20))
    given = environ(sent, CONTENT_LENGTH=str(len(sent)), HTTP_CONTENT_ENCODING="gzip")
    body = open_body(given, SMALL, 0)
    taken = 0

    def take_all() -> None:
        nonlocal taken
        while piece := body.read(4096):
            taken += len(piece)

    with pytest.raises(BadBody) as caught:
        take_all()
    assert caught.value.status.startswith("413")
    assert body.failure is caught.value
    assert taken < 200_000


def test_what_shrinks_a_little_is_no_bomb() -> None:
    ids = b"".join(b"0032have %040x\n" % (n * 7919**9) for n in range(20_000))
    sent = gzip.compress(ids)
    given = environ(sent, CONTENT_LENGTH=str(len(sent)), HTTP_CONTENT_ENCODING="gzip")
    assert read_all(given, size=1 << 16) == ids


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"CONTENT_LENGTH": "ten"}, "400"),
        ({"CONTENT_LENGTH": "-1"}, "400"),
        ({"CONTENT_LENGTH": "+1"}, "400"),
        ({"CONTENT_LENGTH": "1_0"}, "400"),
        ({"CONTENT_LENGTH": "\u0661"}, "400"),
        ({"CONTENT_LENGTH": "9" * 5000}, "400"),
        ({"CONTENT_LENGTH": "1001"}, "413"),
        ({"CONTENT_LENGTH": "4", "HTTP_TRANSFER_ENCODING": "chunked"}, "400"),
        ({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, "501"),
        ({"HTTP_TRANSFER_ENCODING": "chunked, chunked"}, "501"),
        ({"HTTP_CONTENT_ENCODING": "br", "CONTENT_LENGTH": "4"}, "415"),
        ({"HTTP_CONTENT_ENCODING": "gzip, gzip", "CONTENT_LENGTH": "4"}, "415"),
    ],
)
def test_headers_that_say_too_much(headers: dict[str, str], status: str) -> None:
    with pytest.raises(BadBody) as caught:
        open_body(environ(b"body", **headers), SMALL, 1000)
    assert caught.value.status.startswith(status)


def test_shorter_than_announced() -> None:
    with pytest.raises(BadBody, match="shorter"):
        read_all(environ(b"body", CONTENT_LENGTH="5"))


def test_longer_than_allowed_whatever_was_announced() -> None:
    given = environ(chunked(*[b"x" * 100] * 20), HTTP_TRANSFER_ENCODING="chunked")
    with pytest.raises(BadBody) as caught:
        read_all(given, most=1000)
    assert caught.value.status.startswith("413")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), PeerTimeout),
        (ConnectionResetError(), HangupError),
        (ValueError("of the server's own"), BadBody),
    ],
)
def test_the_servers_errors_are_the_peers(error: Exception, expected: type[GitServeError]) -> None:
    class Stream(io.BytesIO):
        def read1(self, _size: int | None = -1, /) -> bytes:
            raise error

    with pytest.raises(expected):
        open_body({"wsgi.input": Stream(), "CONTENT_LENGTH": "4"}, SMALL, 0).read(4)
