"""``$Id$``: the name of a file's blob, where the path has ``ident``.

In: contents. Out: contents. Git's document: gitattributes(5), "ident".
"""

from __future__ import annotations

import re

_KEYWORD = re.compile(rb"\$Id(?:\$|:(?P<said>[^$\n]*)\$)")


def with_ids(content: bytes, object_id: bytes) -> bytes:
    """What somebody else's program said there stays: it has more than one word."""

    def said(found: re.Match[bytes]) -> bytes:
        words = found["said"]
        if words is not None and b" " in words[1:-1]:
            return found[0]
        return b"$Id: %b $" % object_id

    return _KEYWORD.sub(said, content)
