"""The folder of remembered packs, as this process has it open.

In: where the operator wants it, by an option or, for programs that a web server or sshd starts, by
``GITSERVE_PACK_CACHE`` and ``GITSERVE_PACK_CACHE_SIZE``. Out: the core's handle, one for each
folder, and a line for the log. Must not decide who may have what: that is done before a pack is
asked for.
"""

from __future__ import annotations

import os

from gitserve._core import PackCache, PackStream
from gitserve.options import PackCacheOptions

VARIABLE = "GITSERVE_PACK_CACHE"
SIZE_VARIABLE = "GITSERVE_PACK_CACHE_SIZE"

OFF = "off"

MEBIBYTES = str(PackCacheOptions("").size >> 20)
"""What the folder may take unless somebody says otherwise."""

_opened: dict[PackCacheOptions, PackCache] = {}


def chosen(directory: str, mebibytes: str = MEBIBYTES) -> PackCacheOptions | None:
    """What these words mean; None for "off". Raises ValueError."""
    if not mebibytes.isdecimal() or len(mebibytes) > 9:
        raise ValueError(f"the size of the pack cache is no number of MiB: '{mebibytes}'")
    if directory == OFF:
        return None
    if not directory:
        raise ValueError("the pack cache needs a folder, or off")
    return PackCacheOptions(os.path.abspath(directory), int(mebibytes) << 20)


def opened(options: PackCacheOptions) -> PackCache:
    """Raises OSError when the folder cannot be used."""
    cache = _opened.get(options)
    if cache is None:
        # two threads may both open it, which does no harm
        cache = _opened.setdefault(options, PackCache.open(options.directory, options.size))
    return cache


def shown(cache: PackCache, stream: PackStream) -> str:
    """What became of one request, and how the folder stands, over all who ever used it."""
    return (
        f"pack {stream.remembered or 'not remembered'}; hits={cache.hits} misses={cache.misses}"
        f" followers={cache.followers} bytes={cache.bytes}"
    )
