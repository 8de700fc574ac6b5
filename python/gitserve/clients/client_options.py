"""The keyword arguments that every client takes.

In: nothing. Out: their types, for the signatures of constructors that pass them on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from gitserve.clients.limits import ClientLimits
from gitserve.clients.road import Activity

if TYPE_CHECKING:
    import urllib3


class ClientOptions(TypedDict, total=False):
    """Those of :class:`~gitserve.clients.base.GitClient`."""

    thin_packs: bool
    """Take packs whose deltas need objects that are here already (default: yes)."""
    report_activity: Activity | None
    quiet: bool
    """Ask the server for no progress."""
    include_tags: bool
    """Tags of what is fetched come along."""
    timeout: float
    """Seconds that a server may be silent; 0: for ever."""
    limits: ClientLimits | None
    agent: bytes


class SSHOptions(ClientOptions, total=False):
    """And those of ssh."""

    username: str | None
    key_filename: str | None
    ssh_command: str | None


class HttpOptions(ClientOptions, total=False):
    """And those of HTTP."""

    username: str | None
    password: str | None
    pool_manager: urllib3.PoolManager | None


class LocationOptions(SSHOptions, HttpOptions, total=False):
    """All of them: a location's scheme decides which count."""
