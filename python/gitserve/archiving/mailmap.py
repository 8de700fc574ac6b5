"""People's proper names and addresses.

In: a ``.mailmap``. Out: who is meant. Git's document: gitmailmap(5).
"""

from __future__ import annotations

import re

MAX_SIZE = 4 << 20
"""Of the file: far above what the largest projects have."""

_LINE = re.compile(
    rb"(?P<name>[^<#]*)<(?P<mail>[^>]*)>(?:(?P<old_name>[^<#]*)<(?P<old_mail>[^>]*)>)?"
)


class Mailmap:
    """Looks up without regard to case."""

    def __init__(self, text: bytes = b"") -> None:
        self._found: dict[tuple[bytes | None, bytes], tuple[bytes, bytes]] = {}
        for line in text.splitlines():
            match = None if line.startswith(b"#") else _LINE.match(line)
            if match is None:
                continue
            name, mail = match["name"].strip(), match["mail"].strip()
            if match["old_mail"] is None:
                self._add(None, mail, name, b"")
            else:
                self._add(match["old_name"].strip() or None, match["old_mail"].strip(), name, mail)

    def _add(self, old_name: bytes | None, old_mail: bytes, name: bytes, mail: bytes) -> None:
        key = (None if old_name is None else old_name.lower(), old_mail.lower())
        before = self._found.get(key, (b"", b""))
        self._found[key] = (name or before[0], mail or before[1])

    def look_up(self, name: bytes, mail: bytes) -> tuple[bytes, bytes]:
        """Proper name and address, the given ones where nothing is known."""
        found = self._found.get((name.lower(), mail.lower())) or self._found.get(
            (None, mail.lower()), (b"", b"")
        )
        return found[0] or name, found[1] or mail
