"""Who may read, who may write, and which refs may move: rules in Python, the same on every road.

In: who asks for what. Out: yes, or no and why. Derive from :class:`Policy`, override what you have
an opinion on, and name the class or an object of it to any server: ``--policy=module:name``. Knows
neither repositories nor packets; what must be read of a push comes along with it.

Only ``True`` is yes. Whatever a policy raises is a no; unless it is :class:`Denied` the client
learns nothing of it, and the log all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gitserve.record import TYPE_CHECKING, Protocol, Record

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

Road: TypeAlias = "Literal['git', 'http', 'stdio']"


class Denied(Exception):
    """Raised by a policy: no, in words for the person at the other end."""


class Request(Record):
    """Who asks for what. The same on all roads, so that one rule serves them all."""

    service: str
    """``upload-pack``, ``receive-pack``, ``upload-archive``; ``files`` for the dumb protocol."""
    repository: str
    """Its folder, absolute: ``/srv/git/project.git``, ``/home/me/project/.git``."""
    road: Road
    user: str | None = None
    """Whom a web server or sshd has let in (``REMOTE_USER``); on git:// there is nobody to ask."""
    address: str | None = None
    """The other end's, without port."""


class Update(Record):
    """One ref that a push wants to move. Ids are hexadecimal digits; zeros for "none"."""

    ref: bytes
    """The ref that would move: where a symbolic one is named, the one that it stands for."""
    old: bytes
    new: bytes
    named: bytes
    """As the client called it."""

    @property
    def is_create(self) -> bool:
        """The ref is new."""
        return not self.old.strip(b"0")

    @property
    def is_delete(self) -> bool:
        """The ref shall go."""
        return not self.new.strip(b"0")


class Objects(Protocol):
    """The repository's objects, with those that the push brings."""

    def header(self, object_id: bytes, /) -> tuple[str, int] | None:
        """Type and size; None for what is not there."""

    def read(self, object_id: bytes, /) -> tuple[str, bytes]:
        """Type and content. Raises :class:`~gitserve.errors.MissingObject`."""


class Push(Record):
    """What is asked for, or has been done, together."""

    request: Request
    updates: tuple[Update, ...]
    objects: Objects
    options: tuple[bytes, ...] = ()
    """Of ``git push -o``."""
    say: Callable[[str], None] = lambda _text: None
    """Shows the person who pushes a line (``remote: ...``)."""


class Policy:
    """Allows everything. It is asked from many threads at once, and in each worker process."""

    def may_read(self, request: Request) -> bool:  # noqa: ARG002
        """May this repository be cloned, fetched from, archived? False: as if it did not exist."""
        return True

    def may_write(self, request: Request) -> bool:  # noqa: ARG002
        """May anything be pushed here? Who may is shown the refs, whatever :meth:`may_read`
        says. False: as if the repository did not exist."""
        return True

    def hidden_refs(self, request: Request) -> Iterable[str | bytes]:  # noqa: ARG002
        """Refs that do not exist for whoever asks, in the words of ``transfer.hideRefs``.

        Full names, or what they begin with up to a slash: ``refs/heads/secret``, ``refs/pull``;
        with ``!`` in front, what is to be seen all the same; the last that fits holds. They are
        not listed, not given by id, and not pushed to.
        """
        return ()

    def may_update(self, push: Push, update: Update) -> bool:  # noqa: ARG002
        """May this ref move? The objects are there, in quarantine; the others go on without it,
        unless the push is atomic."""
        return True

    def before(self, push: Push) -> bool:  # noqa: ARG002
        """May the push go on, with the updates that are left? All or nothing."""
        return True

    def after(self, push: Push) -> None:
        """This was done, and the client has been told. What it raises is logged."""
