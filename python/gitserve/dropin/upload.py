"""``UploadPackHandler``: clones and fetches.

In: as :mod:`.handlers`. Out: the client has its pack. The dialogue is :mod:`gitserve.session`'s,
the work :mod:`gitserve.service.upload`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitserve.dropin.handlers import PackHandler, asked_version, repository_path
from gitserve.dropin.road import converse, speaks_v2
from gitserve.dropin.served import served
from gitserve.service.requests import Manner, serve_upload
from gitserve.service.tally import Tally


class UploadPackHandler(PackHandler):
    """Sends a client what it lacks."""

    def __init__(
        self,
        backend: Any,
        args: Sequence[Any],
        proto: Any,
        stateless_rpc: Any = False,
        advertise_refs: bool = False,
        *,
        http_req: Any = None,
    ) -> None:
        """``args``: the repository's path, then git://'s parameters. Raises NotGitRepository.
        ``advertise_refs``: tell the refs and end."""
        super().__init__(backend, proto, stateless_rpc, http_req=http_req)
        self.repo = backend.open_repository(repository_path(args))
        self.advertise_refs = advertise_refs
        self._version = asked_version(args)
        self.tally = Tally()
        """What the request cost."""

    def handle(self) -> None:
        """Serves one fetch or clone. Raises what went wrong, once the client has been told."""
        conversation = converse(self.proto, stateless=self.stateless_rpc)
        version = self._version if speaks_v2(conversation) else 0
        manner = Manner(version, self.stateless_rpc, self.advertise_refs)
        serve_upload(served(self.repo), conversation, manner, self.options, self.tally)
