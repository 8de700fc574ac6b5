"""The client: fetching from, pushing to and listing Git servers, with dulwich's names.

    >>> client = TCPGitClient("git.example.org")                           # doctest: +SKIP
    >>> client.get_refs("/project.git").refs[b"HEAD"]                      # doctest: +SKIP
    >>> client.fetch("/project.git", Repo.init("project", mkdir=True))     # doctest: +SKIP

``HttpGitClient`` needs urllib3 (``pip install gitserve[http]``) and is imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitserve.clients.base import AGENT, GitClient
from gitserve.clients.failure import PushError, RemoteError
from gitserve.clients.limits import ClientLimits
from gitserve.clients.local_client import LocalGitClient
from gitserve.clients.locations import (
    get_transport_and_path,
    get_transport_and_path_from_url,
    parse_rsync_url,
)
from gitserve.clients.process_clients import SSHGitClient, StrangeHostname, SubprocessGitClient
from gitserve.clients.results import FetchPackResult, LsRemoteResult, SendPackResult
from gitserve.clients.tcp_client import TCP_GIT_PORT, TCPGitClient
from gitserve.errors import SendPackError

# As in gitserve.errors: who knows this module's names may catch dulwich's exceptions.
if not issubclass(PushError, SendPackError):
    PushError.__bases__ = (*PushError.__bases__, SendPackError)

if TYPE_CHECKING:
    from gitserve.clients.http_client import HttpGitClient

__all__ = [
    "TCP_GIT_PORT",
    "ClientLimits",
    "FetchPackResult",
    "GitClient",
    "HttpGitClient",
    "LocalGitClient",
    "LsRemoteResult",
    "PushError",
    "RemoteError",
    "SSHGitClient",
    "SendPackResult",
    "StrangeHostname",
    "SubprocessGitClient",
    "TCPGitClient",
    "default_user_agent_string",
    "get_transport_and_path",
    "get_transport_and_path_from_url",
    "parse_rsync_url",
]


def default_user_agent_string() -> str:
    """What this client calls itself over HTTP."""
    return "git/" + AGENT.decode()


def __getattr__(name: str) -> type[GitClient]:
    if name == "HttpGitClient":
        from gitserve.clients.http_client import HttpGitClient

        return HttpGitClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
