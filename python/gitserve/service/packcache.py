"""The folder of remembered packs, as this process has it open.

In: where the operator wants it. Out: the core's handle, one for each folder, and a line for the
log. Must not decide who may have what: that is done before a pack is asked for.
"""

from __future__ import annotations

from gitserve._core import PackCache, PackStream
from gitserve.options import PackCacheOptions

_opened: dict[PackCacheOptions, PackCache] = {}


def opened(options: PackCacheOptions) -> PackCache:
    """Raises OSError when the folder cannot be used."""
    cache = _opened.get(options)
    if cache is None:
        # two threads may both open it, which does no harm
        cache = _opened.setdefault(options, PackCache.open(options.directory, options.size))
    return cache


def shown(cache: PackCache, stream: PackStream) -> str:
    """What became of one request, and how this process stands."""
    return (
        f"pack {stream.remembered or 'not remembered'}; hits={cache.hits} misses={cache.misses}"
        f" followers={cache.followers} bytes={cache.bytes}"
    )
