"""What all handlers of a service have: dulwich's ``Handler`` and ``PackHandler``.

In: a backend, what the client asked for, a proto. Out: ``handle()``, once. A handler is thin: it
runs a session over its proto, and is asked by it about capabilities and hooks, so that people's
subclasses have their say.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from gitserve.dropin.lines import capability_agent
from gitserve.dropin.served import served
from gitserve.dropin.words import (
    CAPABILITY_FILTER,
    CAPABILITY_INCLUDE_TAG,
    CAPABILITY_NO_PROGRESS,
    CAPABILITY_OFS_DELTA,
    CAPABILITY_THIN_PACK,
)
from gitserve.errors import GitProtocolError, GitServeError, InternalError, PeerError
from gitserve.policy import Request
from gitserve.record import TYPE_CHECKING
from gitserve.repository.foreign import ForeignRepository
from gitserve.repository.native import NativeRepository
from gitserve.service.permission import admit
from gitserve.service.requests import ServiceOptions
from gitserve.wire.protocol_version import requested_version

if TYPE_CHECKING:
    from gitserve.policy import Road

_FREE_VALUED = (b"agent", b"session-id", b"filter", b"object-format")
"""Capabilities whose value each side chooses for itself."""


class EitherMethod:
    """A method that may also be called on the class, with or without an instance.

    dulwich's ``capabilities`` was a class method once and is an instance's today, and people wrote
    ``UploadPackHandler.capabilities()`` and ``UploadPackHandler.capabilities(self)``.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type) -> Callable[..., Any]:
        function = self._function

        def call(of: Any = None) -> Any:
            return function(of if of is not None else owner if instance is None else instance)

        return call


class Words(list[bytes]):
    """A list of capabilities; to add a tuple to it was right in dulwich once."""

    def __add__(self, other: Any) -> Words:  # type: ignore[override]
        return Words([*self, *other])

    def __radd__(self, other: Any) -> Words:
        return Words([*other, *self])


class Handler:
    """A command of the protocol."""

    options: ClassVar[ServiceOptions] = ServiceOptions()
    """Limits and rules; a subclass or the operator may set another value. With a ``policy`` among
    them, whoever runs the handler calls :meth:`admit` first."""

    service: ClassVar[str] = ""
    """As policies call it."""

    repo: Any = None
    """What the backend gave."""
    path: Any = ""
    """By the name that the client has for it."""
    asking: Request | None = None
    """Who has been let in by the policy."""
    hidden: tuple[bytes, ...] = ()
    """Refs that it hides from him, as patterns."""

    def __init__(
        self, backend: Any, proto: Any, stateless_rpc: Any = False, *, http_req: Any = None
    ) -> None:
        """``stateless_rpc``: the client has no connection, each request stands alone.
        ``http_req``: the old form of the same, any request object."""
        self.backend = backend
        self.proto = proto
        self.http_req = http_req
        self.stateless_rpc = bool(stateless_rpc) or http_req is not None

    def admit(
        self, road: Road = "stdio", user: str | None = None, address: str | None = None
    ) -> None:
        """Asks the policy, where there is one, whether this client may have this; once.

        ``handle()`` asks for nobody in particular, unless it was asked before. Raises
        :class:`~gitserve.service.permission.NotPermitted`; nothing has been sent then.
        """
        policy = self.options.policy
        if policy is None or self.asking is not None:
            return
        where = location_of_repo(served(self.repo), self.path)
        asking = Request(self.service, where, road, user, address)
        self.hidden = admit(policy, asking)
        self.asking = asking

    def handle(self) -> None:
        """Serves the one request."""
        raise NotImplementedError(self.handle)


def location_of_repo(repository: NativeRepository | ForeignRepository, path: Any) -> str:
    """What a policy knows it by: its folder, or, where it has none, the name asked for."""
    if isinstance(repository, NativeRepository):
        return repository.git_dir
    return path.decode("utf-8", "replace") if isinstance(path, bytes) else str(path)


class PackHandler(Handler):
    """A command that sends or takes a pack."""

    def __init__(
        self, backend: Any, proto: Any, stateless_rpc: Any = False, *, http_req: Any = None
    ) -> None:
        super().__init__(backend, proto, stateless_rpc, http_req=http_req)
        self.advertise_refs = False
        self._client_capabilities: set[bytes] | None = None
        self._done_received = False

    def capabilities(self) -> Iterable[bytes]:
        """What is offered to the client."""
        raise NotImplementedError(self.capabilities)

    @classmethod
    def capability_line(cls, capabilities: Iterable[bytes] | None = None) -> bytes:
        """The capabilities as they stand in the advertisement, a blank before each."""
        ask: Any = cls.capabilities
        listed = ask() if capabilities is None else capabilities
        return b"".join([b" " + capability for capability in listed])

    @classmethod
    def innocuous_capabilities(cls) -> Iterable[bytes]:
        """What a client may name although it was not offered."""
        return [
            CAPABILITY_INCLUDE_TAG,
            CAPABILITY_THIN_PACK,
            CAPABILITY_NO_PROGRESS,
            CAPABILITY_OFS_DELTA,
            capability_agent(),
        ]

    @classmethod
    def required_capabilities(cls) -> Iterable[bytes]:
        """What a client must have to be served: nothing."""
        return ()

    def set_client_capabilities(self, caps: Iterable[bytes]) -> None:
        """Takes what the client chose. Raises GitProtocolError when it may not be, or is not
        enough."""
        chosen = list(caps)
        allowed = {*self.innocuous_capabilities(), *self.capabilities()}
        allowed |= {capability.partition(b"=")[0] + b"=" for capability in allowed}
        for capability in chosen:
            name, equals, _ = capability.partition(b"=")
            # git names its wish for a filter to servers that offer none, too
            if capability in allowed or name == b"agent" or capability == CAPABILITY_FILTER:
                continue
            if equals and name in _FREE_VALUED and (name in allowed or name + b"=" in allowed):
                continue
            raise GitProtocolError(
                f"Client asked for capability {capability!r} that was not advertised."
            )
        for capability in self.required_capabilities():
            if capability not in chosen:
                raise GitProtocolError(
                    f"Client does not support required capability {capability!r}."
                )
        self._client_capabilities = set(chosen)

    def has_capability(self, cap: bytes) -> bool:
        """Has the client chosen it? Raises GitProtocolError before it has chosen anything."""
        if self._client_capabilities is None:
            raise GitProtocolError(
                f"Server attempted to access capability {cap!r} before asking client"
            )
        return cap in self._client_capabilities

    def notify_done(self) -> None:
        """The client has said ``done``."""
        self._done_received = True

    def _agree(self, capabilities: Mapping[bytes, bytes | None]) -> None:
        """The client has chosen. What a handler raises about it is the client's fault."""
        words = [
            name if value is None else b"%b=%b" % (name, value)
            for name, value in capabilities.items()
        ]
        try:
            self.set_client_capabilities(words)
        except GitServeError:
            raise
        except GitProtocolError as error:
            raise PeerError(str(error), wire=str(error).encode("utf-8", "replace")) from error


SPEAKING = ("capabilities", "innocuous_capabilities", "required_capabilities",
            "set_client_capabilities", "has_capability")  # fmt: skip
"""Methods that have their say in versions 0 and 1 only: version 2 has no such list."""


def changed(handler: Any, base: type, names: Iterable[str]) -> bool:
    """Has somebody put another in the place of one of these methods of ``base``?

    In a subclass, on the instance, or on ``base`` itself, which is compared with how it began.
    """
    return any(
        name in vars(handler)
        or inspect.getattr_static(type(handler), name) is not _BEGAN[base][name]
        for name in names
    )


_BEGAN: dict[type, dict[str, Any]] = {}


def remember(base: type, names: Iterable[str]) -> None:
    """Notes these methods as they are, for :func:`changed`."""
    _BEGAN[base] = {name: inspect.getattr_static(base, name) for name in names}


@contextmanager
def own_errors() -> Iterator[None]:
    """Lets out what somebody's own method raised, not our wrapping of it."""
    try:
        yield
    except InternalError as error:
        if error.__cause__ is not None:
            raise error.__cause__ from None
        raise


def repository_path(args: Sequence[Any]) -> Any:
    """The path among a handler's arguments."""
    return args[0]


def asked_version(args: Sequence[Any]) -> int:
    """The protocol version among a handler's arguments, as git:// brings it."""
    words = [word.encode() if isinstance(word, str) else bytes(word) for word in args[1:]]
    return requested_version(words)
