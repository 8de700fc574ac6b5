"""git:// servers.

In: a host. Out: a road to any of its services. Git's document: gitprotocol-pack, "Git Transport".
"""

from __future__ import annotations

import os
from typing import Final, Unpack
from urllib.parse import ParseResult, unquote

from gitserve.clients.base import GitClient
from gitserve.clients.client_options import ClientOptions
from gitserve.clients.road import Road
from gitserve.clients.streams import connect
from gitserve.wire import proto_request
from gitserve.wire.pktline import encode
from gitserve.wire.proto_request import ProtoRequest

TCP_GIT_PORT: Final = 9418


class TCPGitClient(GitClient):
    """A server of git://."""

    def __init__(
        self, host: str | bytes, port: int | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        """``options``: those of :class:`~gitserve.clients.base.GitClient`."""
        super().__init__(**options)
        self._host = os.fsdecode(host)
        self._port = TCP_GIT_PORT if port is None else port

    @classmethod
    def from_parsedurl(
        cls, parsedurl: ParseResult, **options: Unpack[ClientOptions]
    ) -> TCPGitClient:
        """The server of a ``git://`` URL."""
        if not parsedurl.hostname:
            raise ValueError("a git:// URL names a host")
        return cls(parsedurl.hostname, parsedurl.port, **options)

    def get_url(self, path: str) -> str:
        """The URL of a repository on this server."""
        return f"git://{self._netloc(9418)}/{path.lstrip('/')}"

    def _netloc(self, usual: int | None) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return host if self._port == usual else f"{host}:{self._port}"

    def _open(self, service: bytes, path: str, version: int) -> Road:
        if path.startswith("/~"):
            path = path[1:]
        road = connect(self._host, self._port, self._timeout)
        request = ProtoRequest(
            service,
            os.fsencode(path),
            self._netloc(TCP_GIT_PORT).encode("idna" if not self._host.isascii() else "ascii"),
            (b"version=%d" % version,) if version else (),
        )
        try:
            road.write(encode(proto_request.format(request)))
        except BaseException:
            road.close()
            raise
        return road


def path_of_url(parsed: ParseResult) -> str:
    """The path as the server's file system has it."""
    return unquote(parsed.path)
