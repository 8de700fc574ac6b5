"""``UploadArchiveHandler``: ``git archive --remote``, by dulwich's name.

In: a backend and a proto. Out: an archive. The work is the archive service's, whatever repository
the backend gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitserve.dropin.handlers import Handler, repository_path
from gitserve.dropin.road import converse
from gitserve.dropin.served import served
from gitserve.service.requests import serve_archive


class UploadArchiveHandler(Handler):
    """Sends a tree as an archive."""

    service = "upload-archive"

    def __init__(
        self,
        backend: Any,
        args: Sequence[Any],
        proto: Any,
        stateless_rpc: Any = False,
        *,
        http_req: Any = None,
    ) -> None:
        """As :class:`~gitserve.dropin.upload.UploadPackHandler`."""
        super().__init__(backend, proto, stateless_rpc, http_req=http_req)
        self.path = repository_path(args)
        self.repo = backend.open_repository(self.path)

    def handle(self) -> None:
        """Serves one archive. Raises what went wrong, once the client has been told."""
        self.admit()
        conversation = converse(self.proto, stateless=self.stateless_rpc)
        serve_archive(served(self.repo), conversation, self.hidden)
