"""Programs that contents of archives go through: ``tar.<format>.command`` and smudge filters.

In: a command line of the repository's configuration, bytes. Out: bytes, while they come. Git's
documents: git-archive(1), gitattributes(5), "filter". Must not know what is filtered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from tempfile import SpooledTemporaryFile

from gitserve.archiving.entry import Content
from gitserve.archiving.request import refusal
from gitserve.repository.config import Config
from gitserve.service.coprocess import Coprocess
from gitserve.service.filterprocess import FilterBroken, FilterEnded, FilterProcess
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
        self._about: Sequence[bytes] = ()
        self._processes: dict[str, FilterProcess] = {}
        """By their command lines."""

    def begin(self, about: Sequence[bytes]) -> None:
        """``about``: where all contents are from, as ``ref=...`` and ``treeish=...``."""
        self._about = about

    def close(self) -> None:
        """Ends what still runs."""
        while self._processes:
            self._processes.popitem()[1].close()

    def _started(self, command: str) -> Coprocess:
        try:
            return Coprocess(
                ["/bin/sh", "-c", command],
                cwd=self._folder,
                environ=self._environ,
                on_error_output=self._on_error_output,
                timeout=SECONDS,
            )
        except OSError as error:
            raise FilterFailed(str(error)) from None

    def run(self, command: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """By the shell. Raises :class:`FilterFailed`, at the end at the latest."""
        program = self._started(command)
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

    def smudge(self, name: bytes, path: bytes, object_id: bytes, content: Content) -> Content:
        """As ``filter.<name>.process`` makes it, or ``filter.<name>.smudge``. Raises ArchiveRefused
        where that fails and ``filter.<name>.required`` is true."""
        key = f"filter.{os.fsdecode(name)}"
        made: Content | None = None
        process, command = self._config.get(f"{key}.process"), self._config.get(f"{key}.smudge")
        if process:
            made = self._through_process(process, path, object_id, content)
        elif command:
            # what it could not make better stays as it is
            with suppress(FilterFailed):
                made = _kept(self.run(_with_path(command, path), content.pieces()))
        if made is None and self._config.get_bool(f"{key}.required"):
            raise refusal(b"%b: smudge filter %b failed" % (path, name))
        return content if made is None else made

    def _through_process(
        self, command: str, path: bytes, object_id: bytes, content: Content
    ) -> Content | None:
        shown = os.fsencode(command)
        process = self._processes.get(command)
        try:
            if process is None:
                process = self._processes[command] = self._greeted(command)
            return process.smudge(path, self._about, object_id, content.pieces())
        except FilterBroken:
            self._on_error_output(b"error: external filter '%b' failed\n" % shown)
        if process is not None:
            del self._processes[command]  # the next file gets another one
            process.close()
        return None

    def _greeted(self, command: str) -> FilterProcess:
        """Raises FilterBroken, and ArchiveRefused where it ends at once, as git does."""
        shown = os.fsencode(command)
        try:
            program = self._started(command)
        except FilterFailed as error:
            raise refusal(b"cannot run '%b'" % shown) from error
        try:
            return FilterProcess(program, _kept)
        except FilterEnded as error:
            program.close()
            raise refusal(b"external filter '%b' has ended" % shown) from error
        except FilterBroken:
            program.close()
            raise


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
