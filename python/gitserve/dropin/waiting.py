"""Hooks in Python see the objects of a push before they are accepted.

In: the repository object that a backend gave, and the push. Out: a context in which that object's
own store finds what waits in quarantine: hooks that people wrote look there, because with dulwich
pushed objects are in the store from the first. A push that is refused leaves no trace of them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gitserve.repository.objects import seen_here
from gitserve.service.push import Push

_changing = threading.Lock()
"""Pushes to one repository object come at once."""


@contextmanager
def waiting_objects_seen(repo: Any, push: Push) -> Iterator[None]:
    """``repo``: gitserve's or dulwich's, of a folder. dulwich's store is lent the quarantine as one
    more alternate, so a hook of another push may see it meanwhile, too."""
    quarantine = push.quarantine
    if quarantine is None or push.published:
        yield
        return
    with seen_here(push.repository.objects_dir, push.objects()):
        kind: Any = getattr(sys.modules.get("dulwich.object_store"), "DiskObjectStore", None)
        store: Any = getattr(repo, "object_store", None)
        if kind is None or not isinstance(store, kind):
            yield
            return
        known = getattr(store, "object_format", None)  # none before dulwich knew SHA-256
        options = {} if known is None else {"object_format": known}
        waiting: Any = kind(quarantine.path, **options)
        with _changing:
            # another list: somebody may be going through this one
            store._alternates = [*store.alternates, waiting]
        try:
            yield
        finally:
            with _changing:
                store._alternates = [one for one in store.alternates if one is not waiting]
            waiting.close()
