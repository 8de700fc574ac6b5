"""Which faults of received objects a repository bears with.

In: its configuration. Out: what the core's check is told, and what the pusher is told of settings
that mean nothing. Implements ``receive.fsckObjects``, ``transfer.fsckObjects``,
``receive.fsck.<msg-id>`` and ``receive.fsck.skipList`` of git-config(1).
"""

from __future__ import annotations

import os

from gitserve._core import fsck_messages
from gitserve.errors import RepositoryError
from gitserve.record import Record
from gitserve.repository.native import NativeRepository

SECTION = "receive.fsck"
SKIP_LIST_BYTES = 64 << 20
"""Of ids that are not checked; a file of millions is none that somebody wrote."""


class ObjectRules(Record):
    """As :meth:`gitserve._core.Quarantine.check_objects` takes them."""

    severities: tuple[tuple[str, str], ...] = ()
    skip: tuple[bytes, ...] = ()
    warnings: tuple[str, ...] = ()
    """About the configuration."""


class UnusableRules(RepositoryError):
    """The repository's rules cannot be followed, so that nothing may be let in by them."""


def wanted(repository: NativeRepository) -> bool:
    """Are received objects to be checked?"""
    config = repository.config
    for key in ("receive.fsckobjects", "transfer.fsckobjects"):
        if key in config:
            return config.get_bool(key)
    return False


def object_rules(repository: NativeRepository) -> ObjectRules:
    """Raises :class:`UnusableRules`."""
    config = repository.config
    fatal = {name.lower(): is_fatal for name, is_fatal in fsck_messages()}
    severities: list[tuple[str, str]] = []
    warnings: list[str] = []
    skip: tuple[bytes, ...] = ()
    for key, value in config.section(SECTION):
        name = key[len(SECTION) + 1 :]
        if name == "skiplist":
            path = config.get_path(key)
            if path:
                skip = _read_skip_list(os.path.join(repository.git_dir, path), path, repository)
        elif name not in fatal or value not in ("ignore", "warn", "error"):
            warnings.append(f"skipping unknown msg id '{name}'")
        elif fatal[name] and value != "error":
            raise UnusableRules(f"Cannot demote {name} to {value}")
        else:
            severities.append((name, value))
    return ObjectRules(tuple(severities), skip, tuple(warnings))


def _read_skip_list(path: str, shown: str, repository: NativeRepository) -> tuple[bytes, ...]:
    try:
        with open(path, "rb") as file:
            lines = file.read(SKIP_LIST_BYTES).splitlines()
    except OSError:
        raise UnusableRules(f"could not open object name list: {shown}") from None
    digits = 64 if repository.object_format == "sha256" else 40
    ids: list[bytes] = []
    for number, line in enumerate(lines, 1):
        name = line.partition(b"#")[0].strip()
        if not name:
            continue
        if len(name) != digits or name.strip(b"0123456789abcdefABCDEF"):
            told = name[:digits].decode("ascii", "replace")
            raise UnusableRules(f"invalid object name: {told} ({shown}, line {number})")
        ids.append(name.lower())
    return tuple(ids)
