"""One HTTP request and the headers of its answer, under dulwich's names.

In: a WSGI environment and ``start_response``. Out: answers begun, with what caches may do with
them. Must not know repositories.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from gitserve.transport.httpfiles import YEAR
from gitserve.transport.httprequest import NO_CACHE

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

logger = logging.getLogger("gitserve.web")

HTTP_OK = "200 OK"
HTTP_NOT_FOUND = "404 Not Found"
HTTP_FORBIDDEN = "403 Forbidden"
HTTP_ERROR = "500 Internal Server Error"
NO_CACHE_HEADERS = list(NO_CACHE)

Match = re.Match[str]


def cache_forever_headers(now: float | None = None) -> list[tuple[str, str]]:
    """For what never changes; ``now`` in seconds since 1970."""
    now = time.time() if now is None else now
    return [
        ("Date", date_time_string(now)),
        ("Expires", date_time_string(now + YEAR)),
        ("Cache-Control", f"public, max-age={YEAR}"),
    ]


def date_time_string(timestamp: float | None = None) -> str:
    """A time as HTTP writes it."""
    return formatdate(timestamp, usegmt=True)


def url_prefix(mat: Match) -> str:
    """The path in front of what was matched: one slash before it, none behind."""
    return "/" + mat.string[: mat.start()].strip("/")


class HTTPGitRequest:
    """One request, and the headers of its answer."""

    def __init__(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        dumb: bool = False,
        handlers: Mapping[bytes, Callable[..., Any]] | None = None,
    ) -> None:
        self.environ = environ
        self.dumb = dumb
        self.handlers = handlers
        self._start_response = start_response
        self._cache_headers: list[tuple[str, str]] = []
        self._headers: list[tuple[str, str]] = []

    def add_header(self, name: str, value: str) -> None:
        """One more."""
        self._headers.append((name, value))

    def respond(
        self,
        status: str = HTTP_OK,
        content_type: str | None = None,
        headers: Sequence[tuple[str, str]] | None = None,
    ) -> Callable[[bytes], object]:
        """Begins the answer; WSGI's ``write``."""
        self._headers.extend(headers or ())
        if content_type:
            self._headers.append(("Content-Type", content_type))
        self._headers.extend(self._cache_headers)
        return self._start_response(status, self._headers)

    def refuse(self, status: str, message: str) -> bytes:
        """Begins an answer that is none, and returns its text."""
        self._cache_headers = []
        logger.info("%s: %s", status, message)
        self.respond(status, "text/plain")
        return message.encode("ascii", "replace")

    def not_found(self, message: str) -> bytes:
        """404."""
        return self.refuse(HTTP_NOT_FOUND, message)

    def forbidden(self, message: str) -> bytes:
        """403."""
        return self.refuse(HTTP_FORBIDDEN, message)

    def error(self, message: str) -> bytes:
        """500."""
        return self.refuse(HTTP_ERROR, message)

    def nocache(self) -> None:
        """Nobody shall keep the answer."""
        self._cache_headers = NO_CACHE_HEADERS

    def cache_forever(self) -> None:
        """Everyone may."""
        self._cache_headers = cache_forever_headers()
