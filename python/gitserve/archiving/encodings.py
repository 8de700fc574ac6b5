"""Contents in the encoding that a path's ``working-tree-encoding`` names.

In: contents in UTF-8, in pieces. Out: contents. Git's document: gitattributes(5),
"working-tree-encoding".
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator

_SAME = re.compile(r"utf-?8", re.IGNORECASE)

_KNOWN = re.compile(
    r"(us-)?ascii|latin-?\d|iso-?8859-\d{1,2}|cp\d{3,4}|windows-\d{3,4}|koi8-[ru]"
    r"|shift[-_]jis|sjis|euc-(jp|kr)|iso-2022-(jp|kr)|gbk|gb2312|gb18030|big5(-hkscs)?"
    r"|utf-?(16|32)(le|be)?",
    re.IGNORECASE,
)
"""Where Python's tables are those of the C library that git uses, or differ in hardly a character.
A name from a repository shall reach none of Python's codecs that are no encodings."""

_MARKED = {
    "utf-16le-bom": (codecs.BOM_UTF16_LE, "utf-16-le"),
    "utf-16be-bom": (codecs.BOM_UTF16_BE, "utf-16-be"),
}
"""Git's own names. (``utf-16`` and ``utf-32`` begin with a mark by themselves.)"""


def is_as_stored(name: bytes) -> bool:
    """Is this the encoding that contents have already?"""
    return not name or _SAME.fullmatch(name.decode("latin-1")) is not None


def in_utf8(data: bytes, name: bytes) -> bytes | None:
    """From this encoding; None where that cannot be, or is not known."""
    text = name.decode("latin-1")
    if _KNOWN.fullmatch(text) is None:
        return None
    try:
        return data.decode(text).encode("utf-8")
    except (LookupError, UnicodeError):
        return None


def encoder(name: bytes) -> Callable[[Iterable[bytes]], Iterator[bytes]] | None:
    """What encodes contents, and raises UnicodeError for one that cannot be encoded. None for an
    encoding that is not known."""
    text = name.decode("latin-1")
    mark, codec = _MARKED.get(text.lower(), (b"", text))
    if not mark and _KNOWN.fullmatch(codec) is None:
        return None
    try:
        codecs.lookup(codec)
    except LookupError:
        return None

    def encode(pieces: Iterable[bytes]) -> Iterator[bytes]:
        decoded = codecs.getincrementaldecoder("utf-8")()
        encoded = codecs.getincrementalencoder(codec)()
        if mark:
            yield mark
        for piece in pieces:
            yield encoded.encode(decoded.decode(piece))
        yield encoded.encode(decoded.decode(b"", final=True), final=True)

    return encode
