"""Where the pack of a push comes from: a repository of ours, or somebody's own function.

In: what the server has and what it shall get. Out: pieces of a raw pack. Must not know packets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from gitserve._core import PackStream
from gitserve.clients.driver import Sink
from gitserve.clients.target import Target, native_of
from gitserve.repository.native import NativeRepository
from gitserve.wire.ref_advertisement import RefAdvertisement

GeneratePackData = Callable[..., Iterable[bytes] | tuple[int, Iterator[Any]]]
"""Called with the ids that the server has and those that it wants, and the keywords ``ofs_delta``
and ``progress``. Returns a pack as an iterable of bytes; or, as dulwich's functions do, how many
objects it has and these in turn."""

PackSource = GeneratePackData | Target


def pieces_of(
    source: PackSource,
    offer: RefAdvertisement,
    wants: Sequence[bytes],
    *,
    thin: bool,
    progress: Sink | None,
) -> Iterable[bytes]:
    """The pack that brings ``wants`` to this server."""
    ofs_delta = b"ofs-delta" in offer.capabilities
    if not callable(source):
        return _stream(native_of(source), offer, wants, thin=thin, ofs_delta=ofs_delta)
    haves = set(offer.refs.values()) | set(offer.haves)
    made = source(haves, set(wants), ofs_delta=ofs_delta, progress=progress)
    if isinstance(made, tuple):
        return _of_dulwich(*made, object_format=offer.object_format)
    return made


def _stream(
    repository: NativeRepository,
    offer: RefAdvertisement,
    wants: Sequence[bytes],
    *,
    thin: bool,
    ofs_delta: bool,
) -> Iterable[bytes]:
    objects = repository.objects.snapshot()
    shown = dict.fromkeys([*offer.refs.values(), *offer.haves])
    stream = PackStream(
        objects,
        wants,
        [object_id for object_id in shown if object_id in objects],
        client_shallow=offer.shallow,
        server_shallow=repository.shallow,
        thin=thin and b"no-thin" not in offer.capabilities,
        ofs_delta=ofs_delta,
        band_limit=0,
        keepalive=0.0,
    )
    try:
        for chunk in stream:
            yield bytes(chunk)  # somebody's own road takes nothing else
    finally:
        stream.close()


def _of_dulwich(count: int, records: Iterator[Any], *, object_format: str) -> Iterable[bytes]:
    # Only dulwich's own functions return this, so dulwich is there.
    from dulwich.object_format import OBJECT_FORMATS
    from dulwich.pack import PackChunkGenerator

    chosen = OBJECT_FORMATS[object_format]
    return iter(PackChunkGenerator(chosen, num_records=count, records=records))
