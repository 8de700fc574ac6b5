"""The WSGI application over a backend, under dulwich's names.

In: WSGI calls. Out: what the route's handler answers. Routes are a table, which people change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from gitserve.dropin.tcp import DEFAULT_HANDLERS
from gitserve.dropin.webdumb import (
    get_idx_file,
    get_info_packs,
    get_loose_object,
    get_pack_file,
    get_text_file,
)
from gitserve.dropin.webinput import GunzipFilter, LimitedInputFilter
from gitserve.dropin.webrequest import HTTPGitRequest, Match
from gitserve.dropin.websmart import get_info_refs, handle_service_request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Service = Callable[[HTTPGitRequest, Any, Match], Iterator[bytes]]
_PACK = r"/objects/pack/\w+-([0-9a-f]{40}|[0-9a-f]{64})\."


class HTTPGitApplication:
    """The WSGI application over a backend."""

    services: ClassVar[dict[tuple[str, re.Pattern[str]], Service]] = {
        ("GET", re.compile("/HEAD\\Z")): get_text_file,
        ("GET", re.compile("/info/refs\\Z")): get_info_refs,
        ("GET", re.compile("/objects/info/alternates\\Z")): get_text_file,
        ("GET", re.compile("/objects/info/http-alternates\\Z")): get_text_file,
        ("GET", re.compile("/objects/info/packs\\Z")): get_info_packs,
        ("GET", re.compile("/objects/([0-9a-f]{2})/([0-9a-f]{38}(?:[0-9a-f]{24})?)\\Z")): (
            get_loose_object
        ),
        ("GET", re.compile(_PACK + "pack\\Z", re.ASCII)): get_pack_file,
        ("GET", re.compile(_PACK + "idx\\Z", re.ASCII)): get_idx_file,
        ("POST", re.compile("/git-upload-pack\\Z")): handle_service_request,
        ("POST", re.compile("/git-receive-pack\\Z")): handle_service_request,
    }

    def __init__(
        self,
        backend: Any,
        dumb: bool = False,
        handlers: Mapping[bytes, Callable[..., Any]] | None = None,
        fallback_app: WSGIApplication | None = None,
    ) -> None:
        self.backend = backend
        self.dumb = dumb
        self.handlers: dict[bytes, Callable[..., Any]] = {**DEFAULT_HANDLERS, **(handlers or {})}
        self.fallback_app = fallback_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """PEP 3333."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        req = HTTPGitRequest(environ, start_response, dumb=self.dumb, handlers=self.handlers)
        for (allowed, pattern), handler in self.services.items():
            mat = pattern.search(path) if allowed == method else None
            # a path has one spelling: a proxy may guard it by that
            if mat is not None and not path[: mat.start()].endswith("/"):
                return handler(req, self.backend, mat)
        if self.fallback_app is not None:
            return self.fallback_app(environ, start_response)
        return [req.not_found("Sorry, that method is not supported")]


def make_wsgi_chain(
    backend: Any,
    dumb: bool = False,
    handlers: Mapping[bytes, Callable[..., Any]] | None = None,
    fallback_app: WSGIApplication | None = None,
) -> WSGIApplication:
    """The application behind its filters."""
    app = HTTPGitApplication(backend, dumb=dumb, handlers=handlers, fallback_app=fallback_app)
    return LimitedInputFilter(GunzipFilter(app))
