"""Smart HTTP servers. Needs urllib3: ``pip install gitserve[http]``.

In: a URL. Out: a road to a repository's services. Git's document: gitprotocol-http.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Unpack
from urllib.parse import ParseResult, quote, unquote, urljoin, urlunparse

import urllib3

from gitserve.clients.base import AGENT, GitClient
from gitserve.clients.client_options import ClientOptions, HttpOptions
from gitserve.clients.http_road import HttpRequests, HttpRoad
from gitserve.clients.limits import CONNECT_TIMEOUT
from gitserve.clients.road import Road


class HttpGitClient(GitClient):
    """A server of ``http://`` or ``https://``. Keeps its connections until it is closed."""

    def __init__(
        self,
        base_url: str,
        pool_manager: urllib3.PoolManager | None = None,
        username: str | None = None,
        password: str | None = None,
        *,
        extra_headers: Mapping[str, str] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """``base_url``: paths are relative to it; an absolute one begins at its server.

        ``username`` and ``password`` are sent to that server alone, wherever it may redirect.
        ``options``: those of :class:`~gitserve.clients.base.GitClient`.
        """
        super().__init__(**options)
        self._base_url = base_url.rstrip("/") + "/"
        self._pool = pool_manager or urllib3.PoolManager()
        self._owns_pool = pool_manager is None
        authorization: str | None = None
        if username is not None:
            token = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
            authorization = f"Basic {token}"
        headers = {
            # Some servers answer smartly only to what calls itself a git.
            "User-Agent": "git/" + AGENT.decode(),
            "Accept-Encoding": "gzip, deflate",
            **(extra_headers or {}),
        }
        self._requests = HttpRequests(
            self._pool,
            headers,
            authorization,
            urllib3.Timeout(connect=CONNECT_TIMEOUT, read=self._timeout or None),
            self._base_url,
        )

    @classmethod
    def from_parsedurl(
        cls, parsedurl: ParseResult, **options: Unpack[HttpOptions]
    ) -> HttpGitClient:
        """The server of a URL, which may hold a user name and a password."""
        if parsedurl.username and options.get("username") is None:
            options["username"] = unquote(parsedurl.username)
        if parsedurl.password and options.get("password") is None:
            options["password"] = unquote(parsedurl.password)
        netloc = parsedurl.netloc.rpartition("@")[2]
        return cls(urlunparse(parsedurl._replace(netloc=netloc)), **options)

    def get_url(self, path: str) -> str:
        """The URL of a repository on this server."""
        # What looks like a URL is a path here: another server is not reached by a path.
        return urljoin(self._base_url, quote(path, safe="/%~")).rstrip("/")

    def close(self) -> None:
        """Closes the connections that were kept."""
        if self._owns_pool:
            self._pool.clear()

    def _open(self, service: bytes, path: str, version: int) -> Road:
        return HttpRoad(self._requests, self.get_url(path), service.decode(), version)
