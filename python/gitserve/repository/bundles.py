"""Frozen packs of a repository: bundles that clients may download in parts.

In: a repository's folder. Out: the bundle files in it, their refs; a new one, put in its place with
older ones removed. What is in the pack is decided by :mod:`gitserve.service.bundling`. Git's
documents: gitformat-bundle(5), git-bundle(1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256

from gitserve.errors import RepositoryError
from gitserve.record import Record

FOLDER = "bundles"

NAME = re.compile(r"[0-9a-f]{64}\.bundle\Z")

MAX_HEADER = 64 << 20
"""Bytes of a bundle's list of refs: half a million of them."""

_TEMPORARY = "tmp_bundle_"


class Bundle(Record):
    """One file."""

    path: str
    name: str
    made: float
    """Seconds since 1970."""
    size: int


def bundles(common_dir: str) -> list[Bundle]:
    """Those that are here, newest first."""
    folder = os.path.join(common_dir, FOLDER)
    found: list[Bundle] = []
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    for name in names:
        if not NAME.match(name):
            continue
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError):  # a newer one has just taken its place
            status = os.stat(path)
            found.append(Bundle(path, name, status.st_mtime, status.st_size))
    return sorted(found, key=lambda bundle: (-bundle.made, bundle.name))


def format_header(refs: Sequence[tuple[bytes, bytes]], object_format: str) -> bytes:
    """``refs``: names and ids."""
    if object_format == "sha1":
        first = b"# v2 git bundle\n"
    else:
        first = b"# v3 git bundle\n@object-format=%b\n" % object_format.encode()
    return first + b"".join([b"%b %b\n" % (value, name) for name, value in refs]) + b"\n"


def read_header(path: str) -> bytes:
    """The part in front of the pack. Raises RepositoryError, FileNotFoundError."""
    with open(path, "rb") as file:
        header = b""
        while (end := header.find(b"\n\n")) < 0:
            piece = file.read(1 << 20)
            if not piece or len(header) > MAX_HEADER:
                raise RepositoryError(f"{path}: no bundle")
            header += piece
    return header[: end + 2]


def header_names(header: bytes) -> list[bytes]:
    """The refs that are in it."""
    lines = header.split(b"\n")
    return [line.partition(b" ")[2] for line in lines if line and not line.startswith((b"#", b"@"))]


class NewBundle:
    """A file that becomes a bundle once it is whole."""

    def __init__(self, common_dir: str) -> None:
        """Raises OSError."""
        self._folder = os.path.join(common_dir, FOLDER)
        os.makedirs(self._folder, exist_ok=True)
        self._path = os.path.join(self._folder, _TEMPORARY + os.urandom(6).hex())
        self._file = open(self._path, "xb")  # noqa: SIM115 - closed by whichever end it comes to
        self._hash = sha256()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._hash.update(data)
        self._file.write(data)

    def publish(self, keep: int) -> Bundle:
        """Puts it in its place, on the disk, and leaves ``keep`` bundles, this one among them.

        Who is reading one that goes reads on to its end; who comes back for the rest of it has to
        begin anew. Raises OSError.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        name = self._hash.hexdigest() + ".bundle"
        path = os.path.join(self._folder, name)
        os.replace(self._path, path)
        os.utime(path)  # what has been here before is the newest again
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        status = os.stat(path)
        made = Bundle(path, name, status.st_mtime, status.st_size)
        others = [b for b in bundles(os.path.dirname(self._folder)) if b.name != name]
        for old in others[max(0, keep - 1) :]:
            with suppress(FileNotFoundError):
                os.unlink(old.path)
        return made

    def discard(self) -> None:
        """Removes what is there of it. Safe to call at any time."""
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._path)


def remove_leftovers(common_dir: str, older_than: float) -> None:
    """What killed processes left; ``older_than``: seconds since 1970."""
    folder = os.path.join(common_dir, FOLDER)
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):
                if name.startswith(_TEMPORARY) and os.stat(path).st_mtime < older_than:
                    os.unlink(path)
