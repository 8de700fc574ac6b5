"""What a file becomes on its way out of the repository, as if it were checked out.

In: attributes, configuration, content. Out: content. Git's document: gitattributes(5),
"Checking-out and checking-in". Keywords come first, then ends of lines, the encoding, and at last
a program. Must not know how a program is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from gitserve.archiving import encodings
from gitserve.archiving.endings import Endings, census, endings, with_crlf
from gitserve.archiving.entry import Content
from gitserve.archiving.keywords import with_ids
from gitserve.archiving.request import refusal
from gitserve.record import TYPE_CHECKING, Record
from gitserve.repository.config import Config

if TYPE_CHECKING:
    from typing import TypeAlias

    from gitserve.archiving.attributes import Value

    Smudge: TypeAlias = Callable[[bytes, bytes, bytes, Content], Content]
    """(name of the filter, path, id of the stored content, content) to content."""

WHOLE_MAX = 64 << 20
"""Keywords of a larger file stay as they are: a line that may have one has any length."""

STREAMED_FROM = 4 << 20
"""Bytes of a file that is held in memory; a larger one is made anew whenever it is looked at."""


BUILT_IN_DRIVERS = frozenset(
    [
        "ada", "bash", "bibtex", "cpp", "csharp", "css", "default", "dts", "elixir", "fortran",
        "fountain", "golang", "html", "java", "kotlin", "markdown", "matlab", "objc", "pascal",
        "perl", "php", "python", "ruby", "rust", "scheme", "tex",
    ]
)  # fmt: skip
"""Of gitattributes(5), "Generating diff text": drivers of their own, configured or not."""


class Conversion(Record):
    """What is to be done for one path."""

    ident: bool = False
    endings: Endings | None = None
    encoding: bytes = b""
    filter: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.ident or self.endings is not None or self.encoding or self.filter)


class Converter:
    """For the files of one archive."""

    def __init__(self, config: Config, smudge: Smudge, filters: Iterable[bytes] = ()) -> None:
        """``filters``: the names that :class:`Smudge` knows."""
        self._config = config
        self._smudge = smudge
        self._filters = frozenset(filters)

    def of(self, values: Mapping[bytes, Value]) -> Conversion:
        """Raises :class:`~gitserve.archiving.request.ArchiveRefused`."""
        encoding = values.get(b"working-tree-encoding")
        if isinstance(encoding, bool):
            raise refusal(b"true/false are no valid working-tree-encodings")
        driver = values.get(b"filter")
        return Conversion(
            ident=values.get(b"ident") is True,
            endings=endings(values, self._config),
            encoding=b"" if encoding is None or encodings.is_as_stored(encoding) else encoding,
            filter=driver if isinstance(driver, bytes) and driver in self._filters else b"",
        )

    def is_text(self, values: Mapping[bytes, Value]) -> bool | None:
        """What ``diff`` says of it (gitattributes(5), "Marking files as binary")."""
        diff = values.get(b"diff")
        if isinstance(diff, bool):
            return diff
        name = "default" if diff is None else os.fsdecode(diff)
        if name not in BUILT_IN_DRIVERS and not self._config.section(f"diff.{name}"):
            name = "default"  # nobody says what this one is
        key = f"diff.{name}.binary"
        if (self._config.get(key) or "").lower() == "auto":
            return None
        is_binary = self._config.get_optional_bool(key)
        return None if is_binary is None else not is_binary

    def convert(self, how: Conversion, path: bytes, object_id: bytes, content: Content) -> Content:
        """``path``: without what the archive puts before it."""
        if how.ident and content.size <= WHOLE_MAX:
            content = Content.of(with_ids(content.whole(), object_id))
        if how.endings is not None and content.size:
            content = _with_endings(content, how.endings)
        if how.encoding and content.size:
            content = _encoded(content, how.encoding)
        if how.filter:
            content = self._smudge(how.filter, path, object_id, content)
        return content


def _with_endings(content: Content, how: Endings) -> Content:
    found = census(content.pieces())
    if not found.changes(how):
        return content
    return _held(Content(content.size + found.lone_lf, lambda: with_crlf(content.pieces())))


def _encoded(content: Content, encoding: bytes) -> Content:
    encode = encodings.encoder(encoding)
    if encode is None:
        return content  # as git does, where its library does not know the encoding
    try:
        size = sum(map(len, encode(content.pieces())))
    except UnicodeError:
        return content
    return _held(Content(size, lambda: encode(content.pieces())))


def _held(content: Content) -> Content:
    return Content.of(content.whole()) if content.size <= STREAMED_FROM else content
