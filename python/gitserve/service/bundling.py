"""Makes a bundle of what everybody may see of a repository: a pack that stays as it is.

In: a repository. Out: a bundle file in it, which transports give away in parts, so that a clone
that broke off goes on where it was. It holds what the visible refs reach and nothing else, so that
whoever may clone may have it. Git's documents: gitformat-bundle(5); gitprotocol-v2(5), bundle-uri.
"""

from __future__ import annotations

import time

from gitserve._core import PackStream
from gitserve.errors import Refused
from gitserve.record import Record
from gitserve.repository.bundles import (
    FOLDER,
    Bundle,
    NewBundle,
    bundles,
    format_header,
    header_names,
    read_header,
    remove_leftovers,
)
from gitserve.repository.hiderefs import hidden_patterns, is_hidden
from gitserve.repository.native import NativeRepository
from gitserve.repository.packrules import pack_rules

LEFTOVER_AGE = 24 * 60 * 60.0
"""Seconds: nobody writes a bundle for so long."""


class Made(Record):
    """What :func:`make_bundle` came to."""

    bundle: Bundle
    is_new: bool
    """False: there was one of the same refs already."""
    objects: int


def make_bundle(repository: NativeRepository, *, keep: int = 2, threads: int = 0) -> Made:
    """Of all visible refs. ``keep``: bundles that stay, so that downloads of the last one go on.

    Raises Refused for a repository that has no commits, or not all of its objects;
    RepositoryError, OSError.
    """
    config = repository.config
    if repository.namespace:
        raise Refused("bundles are of whole repositories, not of namespaces")
    if repository.shallow:
        raise Refused("a shallow repository has no whole bundle")
    if config.get("extensions.partialclone"):
        raise Refused("a partial clone has no whole bundle")
    # refs first: what they name was stored before
    everything = repository.refs.snapshot()
    visible = everything.hidden(hidden_patterns(config, "uploadpack", repository.namespace))
    objects = repository.objects.snapshot()
    refs = visible.items()
    if not refs:
        raise Refused("there are no refs to bundle")
    head = visible.get(b"HEAD")
    if head is not None:
        refs.append((b"HEAD", head))
    header = format_header(refs, repository.object_format)
    remove_leftovers(repository.common_dir, time.time() - LEFTOVER_AGE)
    for bundle in bundles(repository.common_dir)[:1]:
        if read_header(bundle.path) == header:
            return Made(bundle, is_new=False, objects=0)
    rules = pack_rules(config)
    stream = PackStream(
        objects,
        list(dict.fromkeys(value for _, value in refs)),
        ofs_delta=True,
        band_limit=0,
        threads=threads or rules.threads,
        use_bitmaps=rules.use_bitmaps,
        window=rules.window,
        depth=rules.depth,
        window_memory=rules.window_memory,
        level=rules.level,
        big_file_threshold=rules.big_file_threshold,
        reuse_packs=rules.reuse_packs,
    )
    new = NewBundle(repository.common_dir)
    try:
        new.write(header)
        for chunk in stream:
            new.write(bytes(chunk))
        return Made(new.publish(max(1, keep)), is_new=True, objects=stream.objects)
    finally:
        stream.close()
        new.discard()


def shown_bundles(repository: NativeRepository) -> list[Bundle]:
    """Those that may be given away: none that holds what has been hidden since, nor to whom only a
    part of the refs exists."""
    if repository.namespace:
        return []
    patterns = hidden_patterns(repository.config, "uploadpack", repository.namespace)
    return [b for b in bundles(repository.common_dir) if may_show(b, patterns)]


def may_show(bundle: Bundle, patterns: tuple[bytes, ...]) -> bool:
    """Is nothing in it hidden?"""
    if not patterns:
        return True
    try:
        names = header_names(read_header(bundle.path))
    except FileNotFoundError:
        return False
    return not any(is_hidden(name, patterns) for name in names)


def listed(repository: NativeRepository) -> list[bytes]:
    """The newest one as v2's ``bundle-uri`` tells it, relative to the repository's own address."""
    for bundle in shown_bundles(repository)[:1]:
        name = bundle.name.removesuffix(".bundle")[:16]
        return [
            b"bundle.version=1",
            b"bundle.mode=all",
            f"bundle.{name}.uri={FOLDER}/{bundle.name}".encode(),
        ]
    return []


def listing(repository: NativeRepository) -> bytes | None:
    """The same as a file beside the bundles, in the form of a configuration; None: there are
    none."""
    for bundle in shown_bundles(repository)[:1]:
        name = bundle.name.removesuffix(".bundle")[:16]
        return (
            f'[bundle]\n\tversion = 1\n\tmode = all\n[bundle "{name}"]\n\turi = {bundle.name}\n'
        ).encode()
    return None
