"""Performs what ``git archive --remote`` asks for.

In: the effects of the archive session. Out: an archive in side-band packets. Must not know over
which road. Implements ``uploadArchive.allowUnreachable`` and ``tar.*`` of git-config(1); refs that
are hidden from fetches are hidden here too.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from types import MappingProxyType

from gitserve._core import RefSnapshot, Snapshot
from gitserve.archiving import request as requests
from gitserve.archiving.around import Around
from gitserve.archiving.attributes import FILE_MAX, Attributes, parse
from gitserve.archiving.commit import parsed
from gitserve.archiving.conversion import Converter
from gitserve.archiving.mailmap import MAX_SIZE as MAX_MAILMAP
from gitserve.archiving.mailmap import Mailmap
from gitserve.archiving.placeholders import Formatter
from gitserve.archiving.request import ArchiveRequest, refusal
from gitserve.archiving.selection import Selection, resolve
from gitserve.archiving.substitution import Substitution
from gitserve.archiving.tar import gzipped, tar, umask_of
from gitserve.archiving.zip import zip_archive
from gitserve.repository.hiderefs import hidden_patterns, is_hidden, without
from gitserve.repository.native import NativeRepository
from gitserve.repository.packrules import big_file_threshold
from gitserve.repository.readable import ReadableRepository
from gitserve.repository.trees import find, tree_of
from gitserve.service.filters import FilterFailed, Filters
from gitserve.service.keepalive import Waiting
from gitserve.service.sharing import PROCESSORS
from gitserve.service.signature import verify
from gitserve.service.streams import Conversation, joined
from gitserve.session.effects import Effect, SendArchive
from gitserve.wire import sideband
from gitserve.wire.sideband import Band

JOINED = 60 << 10
"""Bytes that are sent at once: nearly what a packet has room for."""


class ArchiveService:
    """One archive."""

    performs: Mapping[type[Effect], str] = MappingProxyType(
        {
            SendArchive: "send_archive",
        }
    )

    def __init__(
        self,
        repository: ReadableRepository,
        conversation: Conversation,
        hidden: Sequence[bytes] = (),
    ) -> None:
        """``hidden``: patterns of refs that a policy hides."""
        self._hidden = hidden
        self._repository = repository
        self._conversation = conversation
        git_dir = repository.git_dir if isinstance(repository, NativeRepository) else None

        def said(words: bytes) -> None:
            conversation.write(sideband.encode(Band.PROGRESS, words))

        self._filters = Filters(repository.config, git_dir, said)
        self._waiting = Waiting(conversation)

    def send_archive(self, effect: SendArchive) -> Generator[None, None, None]:
        """All of it, in the first band, a piece a step."""
        PROCESSORS.spread()
        config = self._repository.config
        request = requests.parse(effect.arguments, config)
        if request.listing:
            self._send(b"".join([name + b"\n" for name in requests.formats(config)]))
            return
        if request.tree is None:
            raise refusal(b"must specify tree-ish")
        for piece in joined(self._pieces(request), JOINED):
            self._send(piece)
            yield

    def _send(self, piece: bytes) -> None:
        self._conversation.write(sideband.encode(Band.DATA, piece))

    def _pieces(self, request: ArchiveRequest) -> Iterator[bytes]:
        repository = self._repository
        config = repository.config
        objects = repository.objects.snapshot()
        refs = without(repository.refs.snapshot(), self._hidden)
        patterns = hidden_patterns(config, "uploadpack", repository.namespace)

        def look_up(name: bytes) -> bytes | None:
            return None if is_hidden(name, patterns) else refs.get(name)

        chosen = resolve(
            objects,
            look_up,
            request.tree or b"",
            any_object=not self._hidden and config.get_bool("uploadarchive.allowunreachable"),
        )
        about = [b"treeish=" + (chosen.commit or chosen.tree)]
        if chosen.ref is not None:
            about.insert(0, b"ref=" + (refs.symbolic(chosen.ref) or chosen.ref))
        self._filters.begin(about)
        when = chosen.when if request.mtime is None else request.mtime
        substitution = None
        if chosen.commit is not None:
            substitution = self._substitution(objects, refs.hidden(patterns), chosen.commit)
        selection = Selection(
            objects,
            request,
            self._own_attributes(),
            Converter(config, self._filters.smudge, self._filters.names()),
            big_file_threshold(config),
            substitution,
            waiting=self._waiting.look,
        )
        selected = selection.entries(chosen.tree)
        if request.format == requests.ZIP:
            return zip_archive(selected, when, chosen.commit, request.level)
        pieces = tar(selected, when, chosen.commit, umask_of(config.get("tar.umask")))
        if request.format == requests.TAR:
            return pieces
        command = requests.command(config, request.format)
        if command is not None:
            level = b"" if request.level < 0 else b" -%d" % request.level
            return self._piped(command + level.decode(), pieces)
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
        around = Around(
            objects,
            refs,
            repository.config,
            mailmap=Mailmap(mailmap),
            verify=self._verified,
        )
        commit = parsed(commit_id, objects.read(commit_id)[1])
        return Substitution(Formatter(commit, around))

    def _verified(self, payload: bytes, signature: bytes, when: int | None) -> dict[bytes, bytes]:
        found = verify(payload, signature, self._repository.config, when)
        return {
            b"G": found.said, b"?": found.letter, b"S": found.signer, b"K": found.key,
            b"F": found.fingerprint, b"P": found.primary, b"T": found.trust,
        }  # fmt: skip

    def _own_attributes(self) -> Attributes:
        """Of the system, the user and the repository, in this order."""
        repository = self._repository
        before = repository.config.get_path("core.attributesfile") or _user_attributes()
        first = _system_attributes() + (_read(before) if before else b"")
        last = b""
        if isinstance(repository, NativeRepository):
            last = _read(os.path.join(repository.common_dir, "info/attributes"))
        return Attributes(parse(first), parse(last))

    def _piped(self, command: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from self._filters.run(command, pieces)
        except FilterFailed:
            raise refusal(b"'%b' filter reported error" % os.fsencode(command)) from None

    def close(self) -> None:
        """Ends the programs that the archive went through."""
        self._filters.close()


def _user_attributes() -> str | None:
    home = os.environ.get("HOME")
    folder = os.environ.get("XDG_CONFIG_HOME") or (home and os.path.join(home, ".config"))
    return os.path.join(folder, "git/attributes") if folder else None


def _system_attributes() -> bytes:
    unwanted = os.environ.get("GIT_ATTR_NOSYSTEM", "0").lower() not in ("", "0", "false", "no")
    return b"" if unwanted else _read("/etc/gitattributes")


def _read(path: str) -> bytes:
    """A file of attributes, with a newline at its end; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read(FILE_MAX) + b"\n"
    except OSError:
        return b""
