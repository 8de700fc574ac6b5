"""From what a person writes as a repository's address to a client and a path.

In: a URL, ``user@host:path``, or a path. Out: a client, and the path on its server. Implements
git-clone(1), "GIT URLS".
"""

from __future__ import annotations

from typing import Any, Unpack
from urllib.parse import urlparse

from gitserve.clients.base import GitClient
from gitserve.clients.client_options import LocationOptions
from gitserve.clients.local_client import LocalGitClient
from gitserve.clients.process_clients import SSHGitClient
from gitserve.clients.tcp_client import TCPGitClient, path_of_url

_SSH_ONLY = ("key_filename", "ssh_command")
_HTTP_ONLY = ("password", "pool_manager")


def get_transport_and_path_from_url(
    url: str, operation: str | None = None, **options: Unpack[LocationOptions]
) -> tuple[GitClient, str]:
    """The client and path of a URL. Raises ValueError for a scheme that is none of Git's.

    ``operation``, ``pull`` or ``push``, is taken for dulwich's sake. ``options`` are those of the
    client that the URL leads to; ``username``, ``password``, ``key_filename``, ``ssh_command`` and
    ``pool_manager`` are left to those that know them.
    """
    _ = operation
    parsed = urlparse(url)
    match parsed.scheme:
        case "git":
            return TCPGitClient.from_parsedurl(parsed, **_plain(options)), path_of_url(parsed)
        case "ssh" | "git+ssh" | "ssh+git":
            known = _without(options, _HTTP_ONLY)
            return SSHGitClient.from_parsedurl(parsed, **known), path_of_url(parsed)
        case "http" | "https":
            # Imported when it is needed, because its library is an extra.
            from gitserve.clients.http_client import HttpGitClient

            known = _without(options, _SSH_ONLY)
            return HttpGitClient.from_parsedurl(parsed, **known), parsed.path
        case "file":
            return LocalGitClient.from_parsedurl(parsed, **_plain(options)), path_of_url(parsed)
    raise ValueError(f"unknown scheme '{parsed.scheme}'")


def get_transport_and_path(
    location: str, operation: str | None = None, **options: Unpack[LocationOptions]
) -> tuple[GitClient, str]:
    """The client and path of a URL, an scp-like address, or a path on this machine."""
    if "://" in location:
        return get_transport_and_path_from_url(location, operation, **options)
    colon = location.find(":")
    if colon > 0 and "/" not in location[:colon]:
        username, host, path = parse_rsync_url(location)
        known = _without(options, _HTTP_ONLY)
        chosen = known.pop("username", None)
        return SSHGitClient(host, username=username or chosen, **known), path
    return LocalGitClient(**_plain(options)), location


def parse_rsync_url(location: str) -> tuple[str | None, str, str]:
    """User, host and path of ``user@host:path``. Raises ValueError when it is no such address."""
    before, colon, path = location.partition(":")
    if not colon:
        raise ValueError("not a valid rsync-style URL")
    user, at, host = before.rpartition("@")
    return (user if at else None), host, path


def _without(options: LocationOptions, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - one of three
    return {name: value for name, value in options.items() if name not in names}


def _plain(options: LocationOptions) -> Any:  # noqa: ANN401
    return _without(options, (*_SSH_ONLY, *_HTTP_ONLY, "username"))
