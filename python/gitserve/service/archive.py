"""Performs what ``git archive --remote`` asks for.

In: the effects of the archive session. Out: an archive in side-band packets. Must not know over
which road. Implements ``uploadArchive.allowUnreachable`` and ``tar.*`` of git-config(1); refs that
are hidden from fetches are hidden here too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping

from gitserve._core import RefSnapshot, Snapshot
from gitserve.archiving import request as requests
from gitserve.archiving.around import Around
from gitserve.archiving.attributes import Attributes, parse
from gitserve.archiving.commit import parsed
from gitserve.archiving.mailmap import MAX_SIZE as MAX_MAILMAP
from gitserve.archiving.mailmap import Mailmap
from gitserve.archiving.placeholders import Formatter
from gitserve.archiving.request import ArchiveRequest, refusal
from gitserve.archiving.selection import BIG_FILE, Selection, resolve
from gitserve.archiving.substitution import Substitution
from gitserve.archiving.tar import gzipped, tar, umask_of
from gitserve.archiving.zip import zip_archive
from gitserve.record import TYPE_CHECKING
from gitserve.repository.hiderefs import hidden_patterns, is_hidden
from gitserve.repository.native import NativeRepository
from gitserve.repository.readable import ReadableRepository
from gitserve.repository.trees import find, tree_of
from gitserve.service.process import ProgramTimeout, run_program
from gitserve.service.streams import Conversation
from gitserve.session.effects import Effect, SendArchive
from gitserve.wire import sideband
from gitserve.wire.sideband import Band

if TYPE_CHECKING:
    from typing import Any

FILTER_SECONDS = 3600.0
"""For one ``tar.<format>.command``."""


class ArchiveService:
    """One archive."""

    def __init__(self, repository: ReadableRepository, conversation: Conversation) -> None:
        self._repository = repository
        self._conversation = conversation
        self.performs: Mapping[type[Effect], Callable[[Any], object]] = {
            SendArchive: self.send_archive
        }

    def send_archive(self, effect: SendArchive) -> Generator[None, None, None]:
        """All of it, in the first band, a piece a step."""
        config = self._repository.config
        request = requests.parse(effect.arguments, config)
        if request.listing:
            self._send(b"".join([name + b"\n" for name in requests.formats(config)]))
            return
        if request.tree is None:
            raise refusal(b"must specify tree-ish")
        for piece in self._pieces(request):
            self._send(piece)
            yield

    def _send(self, piece: bytes) -> None:
        self._conversation.write(sideband.encode(Band.DATA, piece))

    def _pieces(self, request: ArchiveRequest) -> Iterator[bytes]:
        repository = self._repository
        config = repository.config
        objects = repository.objects.snapshot()
        refs = repository.refs.snapshot()
        patterns = hidden_patterns(config, "uploadpack", repository.namespace)

        def look_up(name: bytes) -> bytes | None:
            return None if is_hidden(name, patterns) else refs.get(name)

        chosen = resolve(
            objects,
            look_up,
            request.tree or b"",
            any_object=config.get_bool("uploadarchive.allowunreachable"),
        )
        when = chosen.when if request.mtime is None else request.mtime
        big_file = config.get_int("core.bigfilethreshold", BIG_FILE)
        substitution = None
        if chosen.commit is not None:
            substitution = self._substitution(objects, refs.hidden(patterns), chosen.commit)
        own = self._own_attributes()
        selection = Selection(objects, request, own, substitution, big_file)
        selected = selection.entries(chosen.tree)
        if request.format == requests.ZIP:
            return zip_archive(selected, when, chosen.commit, request.level)
        pieces = tar(selected, when, chosen.commit, umask_of(config.get("tar.umask")))
        if request.format == requests.TAR:
            return pieces
        command = requests.command(config, request.format)
        if command is not None:
            level = b"" if request.level < 0 else b" -%d" % request.level
            return self._piped(command + level.decode(), b"".join(pieces))
        return gzipped(pieces, request.level)

    def _substitution(self, objects: Snapshot, refs: RefSnapshot, commit_id: bytes) -> Substitution:
        repository = self._repository
        mailmap = b""
        blob = None
        if isinstance(repository, NativeRepository) and repository.is_bare:
            head = refs.get(b"HEAD")
            tree = None if head is None else tree_of(objects, head)
            blob = None if tree is None else find(objects, tree, b".mailmap")
        header = None if blob is None else objects.header(blob)
        if blob is not None and header is not None and header[1] <= MAX_MAILMAP:
            mailmap = objects.read(blob)[1]
        around = Around(objects, refs, repository.config, mailmap=Mailmap(mailmap))
        commit = parsed(commit_id, objects.read(commit_id)[1])
        return Substitution(Formatter(commit, around))

    def _own_attributes(self) -> Attributes:
        if not isinstance(self._repository, NativeRepository):
            return Attributes()
        try:
            path = os.path.join(self._repository.common_dir, "info/attributes")
            with open(path, "rb") as file:
                return Attributes((), parse(file.read(1 << 20), b""))
        except OSError:
            return Attributes()

    def _piped(self, command: str, content: bytes) -> Iterator[bytes]:
        said: list[bytes] = []
        try:
            status = run_program(
                ["/bin/sh", "-c", command],
                cwd=os.getcwd(),
                environ=os.environ,
                stdin=content,
                on_output=said.append,
                timeout=FILTER_SECONDS,
            )
        except (OSError, ProgramTimeout):
            status = -1
        if status:
            raise refusal(b"'%b' filter reported error" % command.encode())
        yield from said

    def close(self) -> None:
        """Nothing is held."""
