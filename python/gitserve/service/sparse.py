"""Which blob ``--filter=sparse:oid=<name>`` means.

In: a filter-spec, what the client may see of the refs, objects. Out: the filter-spec with ids. A
name is an object id, a ref, or either with ``:<path>`` behind it. The patterns in the blob are the
core's business.
"""

from __future__ import annotations

from gitserve._core import RefSnapshot, Snapshot
from gitserve.errors import PeerError
from gitserve.repository.trees import find, tree_of
from gitserve.wire import filter_spec
from gitserve.wire.malformed import quoted
from gitserve.wire.object_id import HEX_LENGTHS, is_object_id

_REF_RULES = (b"%b", b"refs/%b", b"refs/tags/%b", b"refs/heads/%b", b"refs/remotes/%b",
              b"refs/remotes/%b/HEAD")  # fmt: skip
"""gitrevisions(7), <refname>."""


def settled(spec: bytes | None, objects: Snapshot, refs: RefSnapshot) -> bytes | None:
    """Raises PeerError for a name that means no blob."""
    if spec is None or not filter_spec.has_sparse(spec):
        return spec
    return filter_spec.with_sparse(spec, lambda name: _blob(name, objects, refs))


def _blob(name: bytes, objects: Snapshot, refs: RefSnapshot) -> bytes:
    found = _named(name, objects, refs)
    header = None if found is None else objects.header(found)
    if found is None or header is None:
        raise _refusal(f"unable to access sparse blob in '{quoted(name)}'")
    if header[0] != "blob":
        raise _refusal(f"unable to parse sparse filter data in {found.decode()}")
    return found


def _named(name: bytes, objects: Snapshot, refs: RefSnapshot) -> bytes | None:
    name, colon, path = name.partition(b":")
    object_id: bytes | None = name.lower()
    if not is_object_id(name.lower(), HEX_LENGTHS[objects.object_format]):
        rules = (refs.get(rule % name) for rule in _REF_RULES)
        object_id = next((value for value in rules if value is not None), None)
    if object_id is None or not colon:
        return object_id
    tree = tree_of(objects, object_id)
    return None if tree is None else find(objects, tree, path)


def _refusal(text: str) -> PeerError:
    return PeerError(text, wire=text.encode())
