"""Pushes from shallow clones: which of the pusher's boundary the repository has to take over.

In: the commits at which the pusher's history ends, and the tips that are pushed. Out: those of them
that would leave the repository with missing parents. Implements ``receive.shallowUpdate`` of
git-config(1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitserve._core import Snapshot, all_reachable


def new_roots(
    objects: Snapshot, tips: Sequence[bytes], boundary: Iterable[bytes], shallow: Sequence[bytes]
) -> list[bytes]:
    """Those of ``boundary`` that these tips reach and that lack a parent here."""
    lacking = [
        commit_id
        for commit_id in dict.fromkeys(boundary)
        if commit_id not in shallow and _lacks_parent(objects, commit_id)
    ]
    ends = [*shallow, *lacking]
    return [
        commit_id
        for commit_id in lacking
        if all_reachable(objects, [commit_id], tips, ends) is None
    ]


def _lacks_parent(objects: Snapshot, commit_id: bytes) -> bool:
    header = objects.header(commit_id)
    if header is None or header[0] != "commit":
        return False
    lines = objects.read(commit_id)[1].partition(b"\n\n")[0].split(b"\n")
    parents = [line[len(b"parent ") :] for line in lines if line.startswith(b"parent ")]
    return any(parent not in objects for parent in parents)
