"""Programs that contents of archives go through: ``tar.<format>.command`` and smudge filters.

In: a command line of the repository's configuration, bytes. Out: bytes, while they come. Git's
documents: git-archive(1), gitattributes(5), "filter". Must not know what is filtered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from tempfile import SpooledTemporaryFile

from gitserve.archiving.entry import Content
from gitserve.archiving.request import refusal
from gitserve.repository.config import Config
from gitserve.service.coprocess import Coprocess
from gitserve.service.process import ProgramTimeout

SECONDS = 3600.0
"""For one run."""

_IN_MEMORY = 8 << 20
"""Bytes of what a smudge filter makes that are kept in memory; what is more goes to a file."""

_PIECE = 256 << 10


class FilterFailed(Exception):
    """It could not be started, took too long, or ended with a status of its own."""


class Filters:
    """Those of one repository."""

    def __init__(
        self, config: Config, git_dir: str | None, on_error_output: Callable[[bytes], None]
    ) -> None:
        """``on_error_output``: gets what they say on standard error."""
        self._config = config
        self._folder = git_dir or os.getcwd()
        self._environ: Mapping[bytes, bytes] = dict(os.environb)
        if git_dir is not None:
            self._environ = {**self._environ, b"GIT_DIR": os.fsencode(git_dir)}
        self._on_error_output = on_error_output

    def run(self, command: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """By the shell. Raises :class:`FilterFailed`, at the end at the latest."""
        try:
            program = Coprocess(
                ["/bin/sh", "-c", command],
                cwd=self._folder,
                environ=self._environ,
                on_error_output=self._on_error_output,
                timeout=SECONDS,
            )
        except OSError as error:
            raise FilterFailed(str(error)) from None
        try:
            yield from program.through(pieces)
            status = program.finish()
        except ProgramTimeout as error:
            raise FilterFailed(str(error)) from None
        finally:
            program.close()
        if status:
            raise FilterFailed(f"{command}: {status}")

    def names(self) -> Iterator[bytes]:
        """Of all ``filter.<name>``."""
        return map(os.fsencode, self._config.subsections("filter"))

    def smudge(self, name: bytes, path: bytes, content: Content) -> Content:
        """As ``filter.<name>.smudge`` makes it. Raises ArchiveRefused where that fails and
        ``filter.<name>.required`` is true."""
        key = f"filter.{os.fsdecode(name)}"
        command = self._config.get(f"{key}.smudge")
        if command:
            try:
                return _kept(self.run(_with_path(command, path), content.pieces()))
            except FilterFailed:
                pass  # what it could not make better stays as it is
        if self._config.get_bool(f"{key}.required"):
            raise refusal(b"%b: smudge filter %b failed" % (path, name))
        return content


def _kept(pieces: Iterable[bytes]) -> Content:
    file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with the last who may read it
    size = 0
    for piece in pieces:
        size += len(piece)
        file.write(piece)

    def again() -> Iterator[bytes]:
        file.seek(0)
        while piece := file.read(_PIECE):
            yield piece

    return Content(size, again)


def _with_path(command: str, path: bytes) -> str:
    quoted = os.fsdecode(path).replace("'", "'\\''").replace("!", "'\\!'")
    parts = command.split("%%")
    return "%".join([part.replace("%f", f"'{quoted}'") for part in parts])
