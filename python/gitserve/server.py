"""A Git server to embed, under the names of ``dulwich.server``.

    >>> backend = DictBackend({b"/": Repo("project")})
    >>> server = TCPGitServer(backend, "localhost", 9418)
    >>> server.serve()

Change the import, keep the rest: backends, handlers, subclasses and hooks written for dulwich work,
and run on gitserve's pipeline. What is the same, better and absent is told in COMPATIBILITY.md.
"""

from __future__ import annotations

from gitserve.dropin.archive import UploadArchiveHandler
from gitserve.dropin.backends import Backend, BackendRepo, DictBackend, FileSystemBackend
from gitserve.dropin.command import main, serve_command
from gitserve.dropin.guard import handlers_with  # noqa: F401 - our own; dulwich has none
from gitserve.dropin.handlers import Handler, PackHandler
from gitserve.dropin.info import (
    generate_info_refs,
    generate_objects_info_packs,
    update_server_info,
)
from gitserve.dropin.receive import ReceivePackHandler
from gitserve.dropin.tcp import DEFAULT_HANDLERS, TCPGitRequestHandler, TCPGitServer
from gitserve.dropin.upload import UploadPackHandler
from gitserve.dropin.walkers import (
    AckGraphWalkerImpl,
    MultiAckDetailedGraphWalkerImpl,
    MultiAckGraphWalkerImpl,
    SingleAckGraphWalkerImpl,
)

__all__ = [
    "DEFAULT_HANDLERS",
    "AckGraphWalkerImpl",
    "Backend",
    "BackendRepo",
    "DictBackend",
    "FileSystemBackend",
    "Handler",
    "MultiAckDetailedGraphWalkerImpl",
    "MultiAckGraphWalkerImpl",
    "PackHandler",
    "ReceivePackHandler",
    "SingleAckGraphWalkerImpl",
    "TCPGitRequestHandler",
    "TCPGitServer",
    "UploadArchiveHandler",
    "UploadPackHandler",
    "generate_info_refs",
    "generate_objects_info_packs",
    "main",
    "serve_command",
    "update_server_info",
]

if __name__ == "__main__":
    main()
