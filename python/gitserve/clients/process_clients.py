"""Servers that are processes: of this machine, or of another one through ssh.

In: command lines. Out: a road to any of their services. Git's document: gitprotocol-pack, "SSH
Transport"; git-upload-pack(1).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Unpack
from urllib.parse import ParseResult, unquote

from gitserve.clients.base import GitClient
from gitserve.clients.client_options import ClientOptions, SSHOptions
from gitserve.clients.road import Road
from gitserve.clients.streams import ProcessRoad


class StrangeHostname(ValueError):
    """A host or user that ssh would take for an option."""


class SubprocessGitClient(GitClient):
    """Repositories of this machine, through the commands of a git."""

    git_command: Sequence[str] | None = None
    """What runs ``upload-pack`` and so on; ``git`` when ``None``, or ``["gitserve"]``."""

    @classmethod
    def from_parsedurl(
        cls, _parsedurl: ParseResult, **options: Unpack[ClientOptions]
    ) -> SubprocessGitClient:
        """For a ``file://`` URL."""
        return cls(**options)

    def get_url(self, path: str) -> str:
        """The URL of a repository."""
        return f"file://{path}"

    def _open(self, service: bytes, path: str, version: int) -> Road:
        command = [*(self.git_command or ["git"]), service.decode().removeprefix("git-"), path]
        return ProcessRoad(command, _environment(version), self._timeout)


class SSHGitClient(GitClient):
    """A server that is reached with the system's ssh, which knows keys, agents and hosts."""

    def __init__(
        self,
        host: str | bytes,
        port: int | None = None,
        username: str | None = None,
        *,
        key_filename: str | None = None,
        ssh_command: str | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """``ssh_command``: another ssh, with its own options as in a shell.

        ``options``: those of :class:`~gitserve.clients.base.GitClient`. Raises StrangeHostname.
        """
        super().__init__(**options)
        self.host = os.fsdecode(host)
        self.port = port
        self.username = username
        self.key_filename = key_filename
        self.ssh_command = ssh_command or "ssh"
        if self.host.startswith("-") or (username or "").startswith("-") or not self.host:
            raise StrangeHostname(self.host)

    @classmethod
    def from_parsedurl(cls, parsedurl: ParseResult, **options: Unpack[SSHOptions]) -> SSHGitClient:
        """The server of an ``ssh://`` URL."""
        if parsedurl.username:
            options["username"] = unquote(parsedurl.username)
        return cls(parsedurl.hostname or "", parsedurl.port, **options)

    def get_url(self, path: str) -> str:
        """The URL of a repository on this server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.username is not None:
            host = f"{self.username}@{host}"
        if self.port is not None:
            host = f"{host}:{self.port}"
        return f"ssh://{host}/{path.lstrip('/')}"

    def _open(self, service: bytes, path: str, version: int) -> Road:
        if path.startswith("/~"):
            path = path[1:]
        command = shlex.split(self.ssh_command)
        if version:
            command += ["-o", "SendEnv=GIT_PROTOCOL"]
        if self.port is not None:
            command += ["-p", str(self.port)]
        if self.key_filename is not None:
            command += ["-i", self.key_filename]
        command.append(self.host if self.username is None else f"{self.username}@{self.host}")
        command.append(f"{service.decode()} {shlex.quote(path)}")
        return ProcessRoad(command, _environment(version), self._timeout)


def _environment(version: int) -> Mapping[str, str]:
    environ = {name: value for name, value in os.environ.items() if name != "GIT_PROTOCOL"}
    if version:
        environ["GIT_PROTOCOL"] = f"version={version}"
    return environ
