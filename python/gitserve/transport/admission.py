"""From a requested path to an open repository, remembered while the folder is what it was.

In: a path as a client sent it. Out: the repository's handle, refreshed, or NotExported. Finding a
repository and making sure that it may be served takes some thirty system calls; a busy server
answers the same few paths again and again.
"""

from __future__ import annotations

import time

from gitserve.record import Record
from gitserve.repository.files import Witness
from gitserve.repository.native import NativeRepository, open_location
from gitserve.transport.exports import Exports
from gitserve.transport.hostnames import HostNames

MAX_REMEMBERED = 1024
"""Paths; the oldest is forgotten first. Clients choose them, though only those that lead somewhere
are kept."""

MAX_AGE = 5.0
"""Seconds. What else could change - a folder above that is moved away and linked back, a second
repository whose name fits better - is noticed by then."""


class _Admitted(Record):
    repository: NativeRepository
    folders: Witness
    until: float


class Admission:
    """Opens what the rules allow. May be used from any thread."""

    __slots__ = ("_admitted", "exports")

    def __init__(self, exports: Exports) -> None:
        self.exports = exports
        self._admitted: dict[bytes, _Admitted] = {}

    def open(self, requested: bytes, names: HostNames | None = None) -> NativeRepository:
        """``names``: how the client calls us. Raises NotExported, RepositoryError."""
        if names is not None and self.exports.interpolated_path is not None:
            # not remembered: the path alone does not say which repository is meant
            return open_location(self.exports.find(requested, names))
        known = self._admitted.get(requested)
        if (
            known is not None
            and time.monotonic() < known.until
            # a folder changes its time when HEAD, the export mark or a .git comes or goes in it
            and known.folders.stands()
        ):
            known.repository.refresh()
            return known.repository
        repository = open_location(self.exports.find(requested))
        self._remember(requested, repository)
        return repository

    def _remember(self, requested: bytes, repository: NativeRepository) -> None:
        folders = Witness()
        try:
            for path in repository.folders:
                folders.look_at(path)
        except OSError:
            return
        if folders.racy:
            return  # it may change again within the same tick of the clock
        if len(self._admitted) >= MAX_REMEMBERED:
            self._admitted.pop(next(iter(self._admitted)), None)
        self._admitted[requested] = _Admitted(repository, folders, time.monotonic() + MAX_AGE)
