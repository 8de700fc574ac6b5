"""Objects that clients get from elsewhere, in packs of their own.

In: configuration. Out: which objects, and where they are. Implements
``uploadpack.blobPackfileURI`` of git's packfile-uri document: values of the form
``<object-hash> <pack-hash> <uri>``. Must not know what a client has asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from gitserve.repository.config import Config, ConfigError
from gitserve.wire.object_id import is_object_id
from gitserve.wire.packfile_uris import PackfileUri

KEY = "uploadpack.blobpackfileuri"


def elsewhere(
    config: Config, protocols: Sequence[bytes], hex_length: int
) -> dict[bytes, PackfileUri]:
    """By object id, what is to be had over these protocols. Raises ConfigError."""
    found: dict[bytes, PackfileUri] = {}
    known: set[bytes] = set()
    for value in config.get_all(KEY):
        object_id, _, rest = os.fsencode(value).partition(b" ")
        pack_hash, space, uri = rest.partition(b" ")
        if not space or not all(is_object_id(i, hex_length) for i in (object_id, pack_hash)):
            raise ConfigError(
                f"value of {KEY} must be of the form"
                f" '<object-hash> <pack-hash> <uri>' (got '{value}')"
            )
        object_id = object_id.lower()
        if object_id in known:
            raise ConfigError(f"object already configured in another {KEY} (got '{value}')")
        known.add(object_id)
        protocol, colon, _ = uri.partition(b":")
        if colon and protocol in protocols:
            found[object_id] = PackfileUri(pack_hash.lower(), uri)
    return found
