"""``UploadArchiveHandler``: ``git archive --remote``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitserve.dropin.handlers import Handler, repository_path


class UploadArchiveHandler(Handler):
    """Sends a tree as an archive."""

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
        self.repo = backend.open_repository(repository_path(args))
