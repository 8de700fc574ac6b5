"""Which resource of which repository a request names; and nothing else is one."""

from __future__ import annotations

import pytest
from gitserve.transport.httprequest import HttpError, Resource, parse

ID = "0123456789" * 4
LONG_ID = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/HEAD", Resource.HEAD),
        ("/info/refs", Resource.INFO_REFS),
        ("/objects/info/packs", Resource.INFO_PACKS),
        ("/objects/info/alternates", Resource.ALTERNATES),
        ("/objects/info/http-alternates", Resource.HTTP_ALTERNATES),
        (f"/objects/01/{ID[2:]}", Resource.LOOSE),
        (f"/objects/01/{LONG_ID[2:]}", Resource.LOOSE),
        (f"/objects/pack/pack-{ID}.pack", Resource.PACK),
        (f"/objects/pack/pack-{LONG_ID}.pack", Resource.PACK),
        (f"/objects/pack/loose-{ID}.idx", Resource.INDEX),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_resources(path: str, resource: Resource, method: str) -> None:
    request = parse({"REQUEST_METHOD": method, "PATH_INFO": "/some/repo.git" + path})
    assert (request.repository, request.resource) == (b"/some/repo.git", resource)
    assert request.file == path[1:]
    assert request.service is None
    assert request.is_head == (method == "HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/repo.git",
        "/repo.git/config",
        "/repo.git/HEAD\n",
        "/repo.git/info/refs/",
        "/repo.git/git-upload-pack\n",
        "/repo.git/git-upload-nothing",
        f"/repo.git/objects/01/{ID[2:]}0",
        f"/repo.git/objects/01/{ID[2:].upper()}X",
        f"/repo.git/objects/0A/{ID[2:]}",
        "/repo.git/objects/pack/../../config.pack",
        f"/repo.git/objects/pack/pack-{ID}/x.pack",
        f"/repo.git/objects/pack/pack-{ID}.keep",
        f"/repo.git/objects/pack/../pack-{ID}.packs",
        "/repo.git/objects/info/../../config",
        "/r\u20acpo/HEAD",
    ],
)
def test_nothing_else_is_there(path: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse({"REQUEST_METHOD": "GET", "PATH_INFO": path})
    assert caught.value.status == "404 Not Found"
    assert caught.value.text == ""


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/repo.git/info/refs", "GET, HEAD"),
        ("PUT", "/repo.git/HEAD", "GET, HEAD"),
        ("GET", "/repo.git/git-upload-pack", "POST"),
        ("HEAD", "/repo.git/git-receive-pack", "POST"),
        ("GET, HEAD", "/repo.git/HEAD", "GET, HEAD"),
        ("", "/repo.git/HEAD", "GET, HEAD"),
    ],
)
def test_methods(method: str, path: str, allow: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse({"REQUEST_METHOD": method, "PATH_INFO": path})
    assert caught.value.status == "405 Method Not Allowed"
    assert ("Allow", allow) in caught.value.headers()


@pytest.mark.parametrize(
    ("query", "service"),
    [
        ("", None),
        ("service=git-upload-pack", "git-upload-pack"),
        ("a=b&service=git%2Dreceive-pack&service=other", "git-receive-pack"),
        ("service=", ""),
        ("services=git-upload-pack", None),
    ],
)
def test_service(query: str, service: str | None) -> None:
    given = {"REQUEST_METHOD": "GET", "PATH_INFO": "/r/info/refs", "QUERY_STRING": query}
    assert parse(given).service == service


def test_a_million_parameters() -> None:
    given = {"REQUEST_METHOD": "GET", "PATH_INFO": "/r/info/refs", "QUERY_STRING": "a=b&" * 1000}
    with pytest.raises(HttpError) as caught:
        parse(given)
    assert caught.value.status == "400 Bad Request"


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ("", 0),
        ("version=1", 1),
        ("version=2", 2),
        ("x=y:version=2", 2),
        ("version=3", 0),
        ("\xff", 0),
    ],
)
def test_version(header: str, version: int) -> None:
    given = {"REQUEST_METHOD": "POST", "PATH_INFO": "/r/git-upload-pack"}
    assert parse({**given, "HTTP_GIT_PROTOCOL": header}).version == version


def test_paths_are_bytes() -> None:
    name = "caf\u00e9.git".encode().decode("latin-1")
    given = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{name}/HEAD"}
    assert parse(given).repository == "/caf\u00e9.git".encode()
