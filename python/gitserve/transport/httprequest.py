"""What an HTTP request asks for: a repository, and one of its few resources.

In: a WSGI environment. Out: a :class:`Request`, or the :class:`HttpError` that answers it. No file
is opened here, and the repository's path is not judged: that is for whoever looks it up.

Git's documents: gitprotocol-http, "URL Format"; git-http-backend(1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl

from gitserve.record import Record
from gitserve.wire.protocol_version import requested_version, split_parameters

Headers = list[tuple[str, str]]

OK = "200 OK"
PARTIAL = "206 Partial Content"
UNSATISFIABLE = "416 Range Not Satisfiable"
FORBIDDEN = "403 Forbidden"
NOT_FOUND = "404 Not Found"
NOT_ALLOWED = "405 Method Not Allowed"
TOO_MANY_REQUESTS = "429 Too Many Requests"
SERVER_ERROR = "500 Internal Server Error"
BAD_REQUEST = "400 Bad Request"

NO_CACHE: tuple[tuple[str, str], ...] = (
    ("Expires", "Fri, 01 Jan 1980 00:00:00 GMT"),
    ("Pragma", "no-cache"),
    ("Cache-Control", "no-cache, max-age=0, must-revalidate"),
)
"""For what changes with every push."""

MAX_QUERY_FIELDS = 16
"""A git sends one."""


class HttpError(Exception):
    """An answer that is no 200. ``text`` is all that the client reads."""

    def __init__(
        self,
        status: str,
        text: str = "",
        reason: str = "",
        *,
        allow: str | None = None,
        retry_after: int | None = None,
        content_range: str | None = None,
    ) -> None:
        """``reason`` is for the log."""
        super().__init__(reason or text or status)
        self.status = status
        self.text = text
        self.allow = allow
        self.retry_after = retry_after
        self.content_range = content_range

    def headers(self) -> Headers:
        """Beside the content's type and length."""
        headers = [*NO_CACHE]
        if self.allow is not None:
            headers.append(("Allow", self.allow))
        if self.retry_after is not None:
            headers.append(("Retry-After", str(self.retry_after)))
        if self.content_range is not None:
            headers.append(("Content-Range", self.content_range))
        return headers


class Resource(Enum):
    """What there is below a repository's path."""

    HEAD = "HEAD"
    INFO_REFS = "info/refs"
    INFO_PACKS = "objects/info/packs"
    ALTERNATES = "objects/info/alternates"
    HTTP_ALTERNATES = "objects/info/http-alternates"
    LOOSE = "loose object"
    PACK = "pack"
    INDEX = "index"
    BUNDLES = "bundles/list"
    BUNDLE = "bundle"
    SERVICE = "service"


_GETS: tuple[tuple[Resource, str], ...] = (
    (Resource.HEAD, "/HEAD"),
    (Resource.INFO_REFS, "/info/refs"),
    (Resource.INFO_PACKS, "/objects/info/packs"),
    (Resource.ALTERNATES, "/objects/info/alternates"),
    (Resource.HTTP_ALTERNATES, "/objects/info/http-alternates"),
    (Resource.LOOSE, "/objects/[0-9a-f]{2}/(?:[0-9a-f]{38}|[0-9a-f]{62})"),
    # `git maintenance` makes packs that are called loose-<hash>
    (Resource.PACK, r"/objects/pack/[a-z]+-(?:[0-9a-f]{40}|[0-9a-f]{64})\.pack"),
    (Resource.INDEX, r"/objects/pack/[a-z]+-(?:[0-9a-f]{40}|[0-9a-f]{64})\.idx"),
    (Resource.BUNDLES, "/bundles/list"),
    (Resource.BUNDLE, r"/bundles/[0-9a-f]{64}\.bundle"),
)
_POSTS: tuple[tuple[Resource, str], ...] = (
    (Resource.SERVICE, "/git-upload-pack|/git-receive-pack|/git-upload-archive"),
)
_ROUTES = tuple(
    (resource, allow, re.compile(rf"(?:{pattern})\Z"))
    for allow, patterns in (("GET, HEAD", _GETS), ("POST", _POSTS))
    for resource, pattern in patterns
)


class Request(Record):
    """One request, understood."""

    method: str
    repository: bytes
    """The path in front of the resource, as it was sent but for its percent-encoding."""
    resource: Resource
    file: str
    """The resource's own path in the repository, which is one of a few forms."""
    service: str | None
    """``git-upload-pack``, or whatever stands in its place; None for the dumb protocol."""
    version: int
    """Of Git's protocol."""

    @property
    def is_head(self) -> bool:
        """Only the headers are wanted."""
        return self.method == "HEAD"


def parse(environ: Mapping[str, Any]) -> Request:
    """Raises :class:`HttpError`."""
    path: str = environ.get("PATH_INFO", "")
    method: str = environ.get("REQUEST_METHOD", "")
    for resource, allow, pattern in _ROUTES:
        match = pattern.search(path)
        if match is None:
            continue
        if method not in allow.split(", "):
            raise HttpError(NOT_ALLOWED, allow=allow)
        file = match.group().lstrip("/")
        if resource is Resource.SERVICE:
            service: str | None = file
        elif resource is Resource.INFO_REFS:
            service = _asked_service(environ)
        else:
            service = None
        try:
            # PEP 3333: bytes, each in the place of the Latin-1 character of its number
            repository = path[: match.start()].encode("latin-1")
            protocol = environ.get("HTTP_GIT_PROTOCOL", "").encode("latin-1")
        except UnicodeEncodeError:
            raise HttpError(NOT_FOUND, reason="a path that is no bytes") from None
        version = requested_version(split_parameters(protocol))
        return Request(method, repository, resource, file, service, version)
    raise HttpError(NOT_FOUND, reason="no such resource")


def _asked_service(environ: Mapping[str, Any]) -> str | None:
    query: str = environ.get("QUERY_STRING", "")
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        raise HttpError(BAD_REQUEST, "too many parameters") from None
    return next((value for name, value in fields if name == "service"), None)
