"""Repositories of this machine, served by this very process.

In: a path. Out: a road to our own services, which have the other end on a thread. The same
dialogue as with any other server, so nothing behaves differently; no git is needed.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Unpack
from urllib.parse import ParseResult

from gitserve.clients.base import GitClient
from gitserve.clients.client_options import ClientOptions
from gitserve.clients.road import Road
from gitserve.clients.streams import ThreadRoad
from gitserve.errors import GitServeError
from gitserve.repository.native import NativeRepository
from gitserve.service.requests import (
    Manner,
    ServiceOptions,
    serve_archive,
    serve_receive,
    serve_upload,
)
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.transport.streams import SocketStream


class LocalGitClient(GitClient):
    """Repositories on disk, by their paths."""

    @classmethod
    def from_parsedurl(
        cls, _parsedurl: ParseResult, **options: Unpack[ClientOptions]
    ) -> LocalGitClient:
        """For a ``file://`` URL."""
        return cls(**options)

    def get_url(self, path: str) -> str:
        """The URL of a repository."""
        return f"file://{path}"

    def _open(self, service: bytes, path: str, version: int) -> Road:
        repository = NativeRepository.open(path)

        def serve(connection: socket.socket) -> None:
            stream = SocketStream(connection, self._timeout)
            conversation = Conversation(stream, stream)
            manner, options, tally = Manner(version), ServiceOptions(), Tally()
            # What went wrong has been told in the dialogue.
            with suppress(GitServeError):
                if service == b"git-upload-pack":
                    serve_upload(repository, conversation, manner, options, tally)
                elif service == b"git-upload-archive":
                    serve_archive(repository, conversation)
                else:
                    serve_receive(repository, conversation, manner, options, tally)

        return ThreadRoad(serve, self._timeout)
