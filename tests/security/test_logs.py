"""Logs: what strangers say stands in them, and can neither forge a line nor move a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitserve.transport.log import LINE_MAX, Log

from tests.interop.test_http_backend import GET, UPLOAD, ours
from tests.interop.test_stdio import run
from tests.security.conversing import Site, get, length, post
from tests.support.raw import FLUSH, greeting, pkt
from tests.support.server import Programs

pytestmark = pytest.mark.ours

FORGERY = "x\n[1] 1.2.3.4:5 git-upload-pack '/all': ok\r\x1b[2J\x9b2J\u202e\u2028"
RAW = FORGERY.encode() + b"\xff\x07"
MARK = "git-upload-pack '/all'"
"""What comes of it is told, in the line in which it was said."""


def assert_harmless(text: str) -> None:
    for character in text.replace("\n", ""):
        assert character.isprintable(), repr(text)
    for line in text.splitlines():
        assert line.isprintable()


def test_a_line_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("ab", buffering=0) as file:
        log = Log(file.fileno())
        log.line(RAW.decode("utf-8", "surrogateescape"))
        log.line("x" * 100_000)
        log.line("\u96ea" * 10_000)
    content = path.read_bytes()
    lines = content.split(b"\n")
    assert len(lines) == 4
    assert all(len(line) < LINE_MAX for line in lines)
    assert_harmless(lines[0].decode())
    assert MARK in lines[0].decode()


GIT_REQUESTS = {
    "path": greeting(b"git-upload-pack", b"/" + RAW),
    "service": pkt(b"git-" + RAW + b" /small.git\0host=x\0"),
    "host": pkt(b"git-upload-pack /small.git\0host=" + RAW + b"\0"),
    "version": greeting(b"git-upload-pack", b"/small.git", b"version=" + RAW),
    "nonsense": pkt(RAW),
    "no packet": RAW,
    "want": greeting(b"git-upload-pack", b"/small.git") + pkt(b"want " + RAW) + FLUSH,
    "command": greeting(b"git-upload-pack", b"/small.git", b"version=2")
    + pkt(b"command=" + RAW + b"\n") + FLUSH,
    "agent": greeting(b"git-upload-pack", b"/small.git", b"version=2")
    + pkt(b"command=ls-refs\n") + pkt(b"agent=" + RAW) + FLUSH,
    "ref": greeting(b"git-receive-pack", b"/small.git")
    + pkt(b"%b %b refs/%b\0report-status" % (b"0" * 40, b"1" * 40, RAW)) + FLUSH,
    "tree": greeting(b"git-upload-archive", b"/small.git") + pkt(b"argument " + RAW) + FLUSH,
}  # fmt: skip


@pytest.mark.parametrize("request_bytes", GIT_REQUESTS.values(), ids=GIT_REQUESTS.keys())
def test_over_git(site: Site, request_bytes: bytes) -> None:
    site.git(request_bytes)
    log = site.log()
    assert log
    assert_harmless(log)


ESCAPED = b"".join(b"%%%02x" % byte for byte in RAW)
HTTP_REQUESTS = {
    "path": get(b"/" + ESCAPED + b"/HEAD"),
    "raw path": get(b"/" + RAW.replace(b"\n", b"").replace(b" ", b"") + b"/HEAD"),
    "nowhere": get(b"/" + ESCAPED),
    "method": get(b"/small.git/HEAD", method=b"G\x1b[2JET"),
    "version": b"GET /small.git/HEAD HTTP/\x1b[2J\r\n\r\n",
    "nonsense": RAW + b"\r\n\r\n",
    "service": get(b"/small.git/info/refs", query=b"service=" + ESCAPED),
    "protocol": get(b"/small.git/info/refs", b"Git-Protocol: version=\x1b[2J"),
    "body": post(b"/small.git", pkt(b"command=" + RAW), length(pkt(b"command=" + RAW))),
    "coding": post(b"/small.git", b"", b"Transfer-Encoding: \x1b[2J"),
}


@pytest.mark.parametrize("request_bytes", HTTP_REQUESTS.values(), ids=HTTP_REQUESTS.keys())
def test_over_http(site: Site, request_bytes: bytes) -> None:
    site.http(request_bytes)
    log = site.log()
    assert log
    assert_harmless(log)


@pytest.mark.parametrize(
    "path", [f"/{FORGERY}/../HEAD", f"/{FORGERY}/HEAD", f"/small.git/{FORGERY}"]
)
def test_in_a_web_servers_log(site: Site, path: str) -> None:
    place = {"GIT_PROJECT_ROOT": str(site.folder), "GIT_HTTP_EXPORT_ALL": ""}
    log = ours({**place, **GET, "PATH_INFO": path}).log
    assert_harmless(log)
    assert len(log.splitlines()) <= 1
    told = ours({**place, **UPLOAD, "PATH_INFO": "/small.git/HEAD", "CONTENT_LENGTH": FORGERY}).log
    assert MARK in told
    assert_harmless(told)
    assert len(told.splitlines()) == 1


def test_on_standard_error(programs: Programs, tmp_path: Path) -> None:
    """Line feeds stay there, as git leaves them: ``ssh`` shows this to who has said it."""
    name = FORGERY.replace("/", "")
    for program in (programs.upload_pack, programs.receive_pack):
        done = run(program, tmp_path / name)
        assert done.returncode == 128
        assert_harmless(done.stderr.decode())
        done = run(program, "--" + name, tmp_path)
        assert done.returncode == 129
        assert_harmless(done.stderr.decode().replace("\t", ""))
