"""What a repository says about a commit beside the commit itself.

In: objects, the refs that a client may see, configuration. Out: abbreviations, the names of refs, a
description, people's proper names. Must not know what asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gitserve._core import RefSnapshot, Snapshot
from gitserve.archiving.commit import Commit, taken_apart
from gitserve.archiving.describing import describe
from gitserve.archiving.escapes import unescaped
from gitserve.archiving.mailmap import Mailmap
from gitserve.repository.config import Config

SHORTEST, SHORTEST_AUTO = 4, 7
"""git's: no abbreviation is shorter, and none that is not configured."""

_DECORATION: Mapping[bytes, bytes] = {
    b"prefix": b" (", b"suffix": b")", b"separator": b", ", b"pointer": b" -> ", b"tag": b"tag: ",
}  # fmt: skip


class Around:
    """Of one repository at one moment."""

    def __init__(
        self,
        objects: Snapshot,
        refs: RefSnapshot,
        config: Config,
        *,
        mailmap: Mailmap,
        verify: Callable[[bytes, bytes, int | None], Mapping[bytes, bytes]],
    ) -> None:
        """``verify``: (what was signed, signature, when) to what ``%G`` and a letter stand for."""
        self._verify = verify
        self._objects = objects
        self._refs = refs
        self._config = config
        self._mailmap = mailmap
        self._names: dict[bytes, list[bytes]] | None = None

    def mapped(self, name: bytes, mail: bytes) -> tuple[bytes, bytes]:
        """As ``.mailmap`` has it."""
        return self._mailmap.look_up(name, mail)

    def signature(self, commit: Commit) -> Mapping[bytes, bytes]:
        """By letter."""
        payload, signature = taken_apart(commit)
        stamp = commit.committer.stamp
        when = int(stamp) if stamp.isdigit() and len(stamp) <= 12 else None
        return self._verify(payload, signature, when)

    def abbreviated(self, object_id: bytes, length: int | None = None) -> bytes:
        """So long that it is unique. ``length``: instead of ``core.abbrev``."""
        unique, packed = self._objects.abbreviation(object_id)
        if length is None:
            length = self._configured(packed, len(object_id))
        return object_id[: max(unique, length)]

    def _configured(self, packed: int, whole: int) -> int:
        value = (self._config.get("core.abbrev") or "auto").lower()
        if value.isdigit():
            return max(SHORTEST, int(value))
        if value in ("no", "off", "false"):
            return whole
        return max(SHORTEST_AUTO, (packed.bit_length() + 1) // 2)

    def decorated(self, commit_id: bytes, **words: bytes) -> bytes:
        """The refs that name it: `` (HEAD -> main, tag: v1)``."""
        chosen = {**_DECORATION, **{key.encode(): word for key, word in words.items()}}
        names = self._decorations().get(commit_id, [])
        head = self._refs.get(b"HEAD") == commit_id
        branch = self._refs.symbolic(b"HEAD") if head else None
        shown = [_shown(name, chosen[b"tag"]) for name in names if name != branch]
        if head:
            follows = chosen[b"pointer"] + _shown(branch, b"") if branch else b""
            shown.insert(0, b"HEAD" + follows)
        if not shown:
            return b""
        return chosen[b"prefix"] + chosen[b"separator"].join(shown) + chosen[b"suffix"]

    def decorated_as(self, commit_id: bytes, options: bytes) -> bytes | None:
        """``%(decorate:<options>)``; None for what is no option."""
        words: dict[str, bytes] = {}
        for option in options.split(b",") if options else ():
            key, equals, value = option.partition(b"=")
            if key not in _DECORATION:
                return None
            words[key.decode()] = unescaped(value) if equals else b""
        return self.decorated(commit_id, **words)

    def _decorations(self) -> dict[bytes, list[bytes]]:
        """By commit; the last ref comes first."""
        if self._names is None:
            self._names = {}
            for name, object_id in reversed(self._refs.items()):
                self._names.setdefault(object_id, []).append(name)
                peeled = self._refs.peeled(name, self._objects)
                if peeled is not None and peeled != object_id:
                    self._names.setdefault(peeled, []).append(name)
        return self._names

    def described(self, commit_id: bytes, options: bytes) -> bytes | None:
        """``%(describe:<options>)``; None for what is no option."""
        found = describe(self._objects, self._refs, commit_id, options)
        if found is None or found.name is None:
            return None if found is None else b""
        if not found.distance or found.abbreviation == 0:
            return found.name
        short = self.abbreviated(commit_id, found.abbreviation)
        return b"%b-%d-g%b" % (found.name, found.distance, short)


def _shown(name: bytes, tag: bytes) -> bytes:
    if name.startswith(b"refs/tags/"):
        return tag + name[10:]
    return name.removeprefix(b"refs/heads/").removeprefix(b"refs/remotes/")
