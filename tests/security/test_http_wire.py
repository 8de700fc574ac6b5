"""HTTP as it is on the wire: who may say what where a request ends, and how much of it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from gitserve.options import ConnectionOptions

from tests.security.conversing import (
    Site,
    connected,
    get,
    length,
    open_site,
    post,
    said,
    status,
    undated,
)
from tests.support.raw import DELIM, FLUSH, pkt

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

pytestmark = pytest.mark.ours

REPOSITORY = b"/small.git"
REFS = pkt(b"command=ls-refs\n") + DELIM + FLUSH
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(REFS), REFS)
SECOND = get(b"/small.git/HEAD")
SECRET = b"ref: refs/heads/main"
"""What the second request would be answered."""


def test_what_follows_would_be_answered_alone(site: Site) -> None:
    """So that the next tests show something."""
    assert SECRET in site.http(SECOND)
    assert b"refs/heads/main" in site.http(post(REPOSITORY, REFS, length(REFS)))
    assert b"refs/heads/main" in site.http(post(REPOSITORY, CHUNKED, b"Transfer-Encoding: chunked"))


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (REFS, [length(REFS)], 200),
        (CHUNKED, [b"Transfer-Encoding: chunked"], 200),
        (CHUNKED, [b"Transfer-Encoding:\r\n chunked"], 200),
        (REFS, [length(REFS), length(REFS)], 200),
        (b"", [], 400),
        (b"", [b"Content-Length:"], 400),
        (CHUNKED, [length(CHUNKED), b"Transfer-Encoding: chunked"], 400),
        (CHUNKED, [b"Transfer-Encoding: chunked", b"Content-Length: 4"], 400),
        (CHUNKED, [b"Transfer-Encoding:\r\n\tchunked", b"Content-Length: 4"], 400),
        (CHUNKED, [b"Transfer-Encoding: \x0bchunked", b"Content-Length: 4"], 400),
        (CHUNKED, [b"Transfer_Encoding: chunked", b"Content-Length: 4"], 400),
        (CHUNKED, [b"Transfer-Encoding : chunked", b"Content-Length: 4"], 400),
        (CHUNKED, [b"Transfer-Encoding: xchunked", b"Content-Length: 4"], 501),
        (CHUNKED, [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], 501),
        (CHUNKED, [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"], 501),
        (CHUNKED, [b"Transfer-Encoding: identity, chunked"], 501),
        (REFS, [length(REFS), b"Content-Length: 4"], 400),
        (REFS, [b"Content-Length: 4", b"Content-Length: 0"], 400),
        (REFS, [b"Content-Length: 4, 4"], 400),
        (REFS, [b"Content-Length: +4"], 400),
        (REFS, [b"Content-Length: -4"], 400),
        (REFS, [b"Content-Length: 0x4"], 400),
        (REFS, [b"Content-Length: 4 4"], 400),
        (REFS, [b"Content-Length: 1e1"], 400),
        (REFS, [b"Content-Length: " + b"9" * 30], 400),
        (REFS, [b"Content-Length : %d" % len(REFS)], 400),
        (REFS, [b"no header at all", length(REFS)], 400),
    ],
)
def test_one_request_a_connection(
    site: Site, body: bytes, headers: list[bytes], expected: int
) -> None:
    """However its end is disguised: nothing that follows becomes a request of its own."""
    answer = site.http(post(REPOSITORY, body, *headers), SECOND)
    assert status(answer) == expected, answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in answer
    assert SECRET not in answer


def test_a_head_that_breaks_off_is_none(site: Site) -> None:
    """A proxy may see another header where ours would see the end of all headers."""
    assert status(site.http(get(b"/small.git/HEAD"))) == 200
    assert status(site.http(get(b"/small.git/HEAD", b"Space : before", b"Range: x"))) == 400


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (get(b"/small.git/HEAD", *[b"X-%d: y" % n for n in range(90)]), 200),
        (get(b"/small.git/HEAD", *[b"X-%d: y" % n for n in range(110)]), 431),
        (get(b"/small.git/HEAD", b"X: " + b"y" * 60_000), 200),
        (get(b"/small.git/HEAD", b"X: " + b"y" * 70_000), 431),
        (get(b"/" + b"x" * 70_000), 414),
        (get(b"/small.git/HEAD", query=b"&".join([b"a=b"] * 9000)), 200),
        (get(b"/small.git/info/refs", query=b"&".join([b"a=b"] * 9000)), 400),
        (b"GET /small.git/HEAD HTTP/2.0\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /small.git/HEAD HTTP/one\r\n\r\n", 400),
        (b"GET /small.git/HEAD and more HTTP/1.1\r\n\r\n", 400),
        (b"POST /small.git/git-upload-pack\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03\r\n", 400),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
        (get(b"http://elsewhere/small.git/HEAD"), 404),
        (get(b"*", method=b"OPTIONS"), 404),
        (get(b"elsewhere:443", method=b"CONNECT"), 404),
    ],
)
def test_heads_are_bounded(site: Site, request_bytes: bytes, expected: int) -> None:
    answer = site.http(request_bytes)
    assert status(answer) == expected, answer[:300]
    assert b"Traceback" not in answer
    assert str(site.folder).encode() not in answer


@pytest.mark.parametrize("method", [b"TRACE", b"PUT", b"DELETE", b"PATCH", b"PROPFIND", b"get"])
def test_other_methods(site: Site, method: bytes) -> None:
    answer = site.http(get(b"/small.git/HEAD", b"Cookie: a secret", method=method))
    assert status(answer) == 405
    assert b"Allow: GET, HEAD\r\n" in answer
    assert b"secret" not in answer, "TRACE shows scripts what their browser hides from them"


def test_a_page_cannot_push_for_its_reader(site: Site) -> None:
    """Browsers send these three types to other sites unasked; services take none of them."""
    for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"):
        body = FLUSH
        answer = site.http(
            get(b"/small.git/git-receive-pack", b"Content-Type: " + kind, length(body),
                method=b"POST"), body,
        )  # fmt: skip
        assert status(answer) in (400, 415)
        assert b"Access-Control" not in answer


def test_no_header_becomes_a_fact(site: Site) -> None:
    """Who somebody is, is the word of the server that let him in, not his own."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        seen.update(environ)
        start("200 OK", [])
        return ()

    forged = (
        b"Remote-User: root", b"REMOTE_USER: root", b"Remote-Addr: 1.2.3.4", b"Script-Name: /x",
        b"Path-Info: /etc", b"Content_Length: 7", b"GITSERVE.SOCKET: 1", b"wsgi.input: x",
    )  # fmt: skip
    assert status(said(site.web.but(app=application).serve, get(b"/a", *forged))) == 200
    assert "REMOTE_USER" not in seen
    assert (seen["REMOTE_ADDR"], seen["PATH_INFO"]) == ("127.0.0.1", "/a")
    assert (seen["SCRIPT_NAME"], seen["CONTENT_LENGTH"]) == ("", "")
    assert seen["gitserve.socket"] != "1"
    assert seen["wsgi.input"] != "x"


def test_a_bomb_is_not_let_go_off(site: Site) -> None:
    """36 MB of well-formed lines in some kilobytes."""
    lines = pkt(b"ref-prefix refs/" + b"a" * 60_000 + b"\n") * 600
    body = gzip.compress(REFS[:-8] + DELIM + lines + FLUSH)
    assert len(body) < 200_000
    answer = site.http(post(REPOSITORY, body, length(body), b"Content-Encoding: gzip"))
    assert status(answer) == 413


def test_who_waits_to_be_told_to_go_on_is_told(site: Site) -> None:
    with connected(site.web.serve) as raw:
        raw.send(post(REPOSITORY, b"", length(REFS), b"Expect: 100-continue"))
        assert raw.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.send(REFS)
        raw.say_no_more()
        assert status(raw.rest()) == 200


def test_a_head_byte_by_byte_is_given_up(site: Site, tmp_path: Path) -> None:
    """The time is for all of it, whatever arrives meanwhile."""
    limits = ConnectionOptions(init_timeout=0.3, timeout=20)
    with open_site(site.folder, tmp_path / "other", limits) as hasty:
        ended = threading.Event()
        with connected(hasty.web.serve) as raw:

            def drip() -> None:
                raw.send(b"GET /small.git/HEAD HTTP/1.1\r\nX: ")
                while not ended.wait(0.02):
                    raw.send(b"y")

            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                assert raw.rest() == b""
            finally:
                ended.set()
                dripping.join()
        assert "client failed: " in hasty.log()


def test_a_body_that_does_not_come_is_given_up(site: Site, tmp_path: Path) -> None:
    limits = ConnectionOptions(init_timeout=20, timeout=0.2)
    with (
        open_site(site.folder, tmp_path / "other", limits) as hasty,
        connected(hasty.web.serve) as raw,
    ):
        raw.send(post(REPOSITORY, REFS[:10], length(REFS)))
        assert b"HTTP/1.1 408 " in raw.exactly(13)


def test_answers_say_little_of_the_server(site: Site) -> None:
    for request in (get(b"/none.git/HEAD"), get(b"/small.git/HEAD"), b"nonsense\r\n"):
        answer = undated(site.http(request))
        assert b"Python" not in answer
        assert b"WSGI" not in answer
