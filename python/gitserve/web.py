"""Git over HTTP, under the names of ``dulwich.web``.

    >>> backend = DictBackend({"/": Repo("project")})
    >>> application = make_wsgi_chain(backend)

Change the import, keep the rest: handlers, routes, filters and backends written for dulwich work.
Whoever needs none of its names has :class:`GitHttp` or ``gitserve http``, which do the same with
less between; :func:`folder_application` makes one for gunicorn and its like.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from wsgiref.simple_server import make_server

from gitserve.dropin.webapp import HTTPGitApplication, make_wsgi_chain
from gitserve.dropin.webdumb import (
    generate_info_refs,
    generate_objects_info_packs,
    get_idx_file,
    get_info_packs,
    get_loose_object,
    get_pack_file,
    get_repo,
    get_text_file,
    send_file,
)
from gitserve.dropin.webinput import (
    MAX_CHUNK_SIZE,
    MAX_REQUEST_SIZE,
    ChunkedEncodingError,
    ChunkReader,
    GunzipFilter,
    LimitedInputFilter,
    _chunk_iter,  # noqa: F401 - dulwich's tests ask for it
    _LengthLimitedFile,  # noqa: F401 - and for this
)
from gitserve.dropin.webrequest import (
    HTTP_ERROR,
    HTTP_FORBIDDEN,
    HTTP_NOT_FOUND,
    HTTP_OK,
    NO_CACHE_HEADERS,
    HTTPGitRequest,
    cache_forever_headers,
    date_time_string,
    url_prefix,
)
from gitserve.dropin.webserver import (
    ServerHandlerLogger,
    WSGIRequestHandlerLogger,
    WSGIServerLogger,
    main,
)
from gitserve.dropin.websmart import get_info_refs, handle_service_request
from gitserve.policy import Policy
from gitserve.service import packcache
from gitserve.service.requests import ServiceOptions
from gitserve.transport.exports import Exports
from gitserve.transport.httpapp import GitHttp, find_exported
from gitserve.transport.log import Log
from gitserve.transport.services import service_rules

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

__all__ = [
    "HTTP_ERROR",
    "HTTP_FORBIDDEN",
    "HTTP_NOT_FOUND",
    "HTTP_OK",
    "MAX_CHUNK_SIZE",
    "MAX_REQUEST_SIZE",
    "NO_CACHE_HEADERS",
    "ChunkReader",
    "ChunkedEncodingError",
    "GitHttp",
    "GunzipFilter",
    "HTTPGitApplication",
    "HTTPGitRequest",
    "LimitedInputFilter",
    "ServerHandlerLogger",
    "WSGIRequestHandlerLogger",
    "WSGIServerLogger",
    "cache_forever_headers",
    "date_time_string",
    "folder_application",
    "generate_info_refs",
    "generate_objects_info_packs",
    "get_idx_file",
    "get_info_packs",
    "get_info_refs",
    "get_loose_object",
    "get_pack_file",
    "get_repo",
    "get_text_file",
    "handle_service_request",
    "main",
    "make_server",
    "make_wsgi_chain",
    "send_file",
    "url_prefix",
]


def folder_application(
    base_path: str,
    *,
    export_all: bool = False,
    push: bool = False,
    policy: Policy | None = None,
    pack_cache: str | None = None,
    pack_cache_size: int | None = None,
    verbose: bool = False,
) -> WSGIApplication:
    """Serves the repositories below a folder, to run in production:

    ``gunicorn -k gthread --threads 16 'gitserve.web:folder_application("/srv/git")'``

    ``pack_cache``: a folder, closed to others, in which packs are remembered, and how many MiB it
    may take; servers and programs may share it. Otherwise ``GITSERVE_PACK_CACHE`` says it.
    ``verbose``: log what became of them, too.
    """
    directory = pack_cache or os.environ.get(packcache.VARIABLE) or packcache.OFF
    size = str(pack_cache_size or os.environ.get(packcache.SIZE_VARIABLE) or packcache.MEBIBYTES)
    exports = Exports(base_path=os.path.abspath(base_path), export_all=export_all)
    return GitHttp(
        find_exported(exports),
        service_rules(["receive-pack"] if push else ()),
        options=ServiceOptions(
            upkeep="thread", policy=policy, pack_cache=packcache.chosen(directory, size)
        ),
        log=Log(verbose=verbose),
    )


if __name__ == "__main__":
    main()
