"""Under which name a client believes to reach us, and the paths that are made of it.

In: ``host=`` of the first packet. Out: the values of ``%H``, ``%CH``, ``%IP``, ``%P`` and ``%D`` of
git-daemon(1), ``--interpolated-path``. The name is a stranger's: one that could climb out of a
folder is no name.
"""

from __future__ import annotations

import os
import socket
from functools import lru_cache

from gitserve.options import DEFAULT_PORT

MAX_HOST = 255
"""Bytes of a name: the longest that DNS knows."""

MAX_REMEMBERED = 64
"""Names: a server has a few. Clients choose them."""

_IN_NAMES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.:")


class HostNames:
    """What one client calls us. Names are looked up when first asked for."""

    __slots__ = ("_found", "host", "port")

    def __init__(self, said: bytes) -> None:
        """``said``: ``name``, ``name:port``, ``[address]:port``. Raises ValueError."""
        self.host, self.port = _parsed(said) if len(said) > MAX_HOST else _remembered(said)
        self._found: tuple[str, str] | None = None

    @property
    def canonical(self) -> str:
        """What the name is called where it is looked up; the name itself if nowhere."""
        return self._look_up()[0]

    @property
    def address(self) -> str:
        """One number it stands for; the name itself if none."""
        return self._look_up()[1]

    def _look_up(self) -> tuple[str, str]:
        if self._found is None:
            self._found = (self.host, self.host)
            try:
                answers = socket.getaddrinfo(
                    self.host, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME
                )
            except (OSError, UnicodeError):
                return self._found
            if answers:
                canonical = answers[0][3].lower()
                if not canonical or "/" in canonical or canonical.startswith("."):
                    canonical = self.host
                self._found = (canonical, str(answers[0][4][0]))
        return self._found

    def interpolate(self, template: str, path: str) -> str:
        """The folder that a template means. Raises ValueError for an unknown ``%``."""
        made: list[str] = []
        rest = template
        while rest:
            before, percent, rest = rest.partition("%")
            made.append(before)
            if not percent:
                break
            for name in ("CH", "IP", "H", "P", "D", "%"):
                if rest.startswith(name):
                    made.append(self._value(name, path))
                    rest = rest[len(name) :]
                    break
            else:
                raise ValueError(f"unknown '%{rest[:1]}' in the interpolated path")
        return "".join(made)

    def _value(self, name: str, path: str) -> str:
        if name == "H":
            return self.host
        if name == "CH":
            return self.canonical
        if name == "IP":
            return self.address
        if name == "P":
            return self.port
        return path if name == "D" else "%"


def fixed_part(template: str) -> str | None:
    """The folder that no client has a say in; None when even the first is of his choosing."""
    folder = os.path.dirname(template.partition("%")[0])
    return folder if folder not in ("", "/") else None


def _parsed(said: bytes) -> tuple[str, str]:
    """Name and port."""
    name, port = said, b""
    if said.startswith(b"["):
        name, closed, rest = said[1:].partition(b"]")
        if not closed or (rest and not rest.startswith(b":")):
            raise ValueError("a host that is no address")
        port = rest[1:]
    elif said.count(b":") == 1:
        name, _, port = said.partition(b":")
    name = name.lower().removesuffix(b".")
    if len(name) > MAX_HOST or not _IN_NAMES.issuperset(name):
        raise ValueError("a host that is no name")
    if name.startswith((b".", b"-")) or b".." in name:
        raise ValueError("a host that climbs, or looks like an option")
    if port and (not port.isdigit() or len(port) > 5):
        raise ValueError("a port that is no number")
    return name.decode("ascii"), port.decode("ascii") or str(DEFAULT_PORT)


_remembered = lru_cache(MAX_REMEMBERED)(_parsed)
