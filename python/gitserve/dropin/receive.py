"""``ReceivePackHandler``: pushes.

In: as :mod:`.handlers`. Out: objects and refs that are there to stay, and a true report. The
dialogue is :mod:`gitserve.session`'s, the work :mod:`gitserve.service.receive`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitserve.dropin.handlers import PackHandler, asked_version, repository_path
from gitserve.dropin.road import converse
from gitserve.dropin.served import served
from gitserve.service.requests import Manner, serve_receive
from gitserve.service.tally import Tally


class ReceivePackHandler(PackHandler):
    """Takes what a client brings."""

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
        """As :class:`~gitserve.dropin.upload.UploadPackHandler`."""
        super().__init__(backend, proto, stateless_rpc, http_req=http_req)
        self.repo = backend.open_repository(repository_path(args))
        self.advertise_refs = advertise_refs
        self._version = asked_version(args)
        self.tally = Tally()
        """What the request cost."""

    def handle(self) -> None:
        """Serves one push. Raises what went wrong, once the client has been told."""
        conversation = converse(self.proto, stateless=self.stateless_rpc)
        manner = Manner(self._version, self.stateless_rpc, self.advertise_refs)
        serve_receive(served(self.repo), conversation, manner, self.options, self.tally)
