"""The remotes from which a partial clone gets what it lacks.

In: a repository's configuration. Out: what clients are told of them (``promisor.advertise``,
``promisor.sendFields``), and, where whoever started us wants that, missing objects fetched from
them while a client waits. Implements gitprotocol-v2, "promisor-remote", and ``GIT_NO_LAZY_FETCH``
of git(1).
"""

from __future__ import annotations

from collections.abc import Mapping

from gitserve.record import TYPE_CHECKING
from gitserve.repository.config import Config
from gitserve.wire.promisor_remotes import PromisorRemote

if TYPE_CHECKING:
    from gitserve.repository.native import NativeRepository
    from gitserve.service.tally import Tally

MAX_LAZY_FETCHES = 10_000
"""Objects fetched for one request, each with a connection of its own: it is a slow way to clone."""

TIMEOUT = 600.0
"""Seconds for one object."""

DISABLED = "lazy fetching disabled; some objects may not be available"
"""git's words."""

_NO = frozenset(("0", "false", "no", "off"))

_FIELDS = {"partialclonefilter": "partialCloneFilter", "token": "token"}
"""What may be told of a remote, beside its name and url."""


def promisor_names(config: Config) -> list[str]:
    """In the order of configuration; ``extensions.partialClone`` is the last resort.

    Whoever has a filter for a remote has cloned from it in part.
    """
    names = [
        name
        for name in config.subsections("remote")
        if config.get_bool(f"remote.{name}.promisor")
        or config.get(f"remote.{name}.partialclonefilter")
    ]
    oldest = config.get("extensions.partialclone")
    if oldest:
        names = [name for name in names if name != oldest] + [oldest]
    return names


def advertised_promisors(config: Config) -> tuple[PromisorRemote, ...]:
    """What clients are told."""
    if not config.get_bool("promisor.advertise"):
        return ()
    wanted = [word.strip().lower() for word in (config.get("promisor.sendfields") or "").split(",")]
    found: list[PromisorRemote] = []
    for name in promisor_names(config):
        url = config.get(f"remote.{name}.url")
        if not url:
            continue
        fields = [("url", url)]
        for field in wanted:
            value = config.get(f"remote.{name}.{field}") if field in _FIELDS else None
            if value:
                fields.append((_FIELDS[field], value))
        found.append(PromisorRemote(name, tuple(fields)))
    return tuple(found)


class PromisedObjects:
    """Gets objects for one request."""

    __slots__ = ("_environ", "_left", "_repository", "_tally")

    def __init__(
        self, repository: NativeRepository, environ: Mapping[str, str] | None, tally: Tally
    ) -> None:
        self._repository = repository
        self._environ = environ
        self._tally = tally
        self._left = MAX_LAZY_FETCHES

    def fetch(self, object_id: bytes) -> bool:
        """Is the object here now? Runs ``git``, which knows passwords and keys."""
        names = promisor_names(self._repository.config)
        if not names:
            return False
        environ = self._environ
        if environ is None or environ.get("GIT_NO_LAZY_FETCH", "").lower() not in _NO:
            # a repository's configuration names programs that would be run
            self._tally.warnings.append(DISABLED)
            return False
        self._left -= 1
        return self._left >= 0 and any(self._fetch_from(name, object_id, environ) for name in names)

    def _fetch_from(self, name: str, object_id: bytes, environ: Mapping[str, str]) -> bool:
        from gitserve.service.process import ProgramTimeout, aside, run_program

        words = [
            "git", "-c", "fetch.negotiationAlgorithm=noop", "fetch", "--no-tags",
            "--no-write-fetch-head", "--recurse-submodules=no", "--filter=blob:none", "--stdin",
            "--", name,
        ]  # fmt: skip
        env = {key: value for key, value in environ.items() if key != "GIT_PROTOCOL"}
        env["GIT_DIR"] = self._repository.git_dir
        # whom it asks must not ask on without being told to
        env["GIT_NO_LAZY_FETCH"] = "1"
        try:
            status = run_program(
                words, cwd=self._repository.git_dir, environ=env, stdin=object_id + b"\n",
                on_output=aside, timeout=TIMEOUT,
            )  # fmt: skip
        except (OSError, ProgramTimeout) as error:
            self._tally.warnings.append(f"fetching {object_id.decode()} from {name}: {error}")
            return False
        return not status and object_id in self._repository.objects.snapshot()
