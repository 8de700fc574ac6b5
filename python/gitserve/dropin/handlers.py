"""What all handlers of a service have: dulwich's ``Handler`` and ``PackHandler``.

In: a backend, what the client asked for, a proto. Out: ``handle()``, once. A handler is thin: it
runs a session over its proto, and is asked by it about capabilities and hooks, so that people's
subclasses have their say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from gitserve.dropin.lines import capability_agent
from gitserve.dropin.words import (
    CAPABILITY_INCLUDE_TAG,
    CAPABILITY_NO_PROGRESS,
    CAPABILITY_OFS_DELTA,
    CAPABILITY_THIN_PACK,
)
from gitserve.errors import GitProtocolError
from gitserve.service.requests import ServiceOptions
from gitserve.wire.protocol_version import requested_version

_FREE_VALUED = (b"agent", b"session-id", b"filter", b"object-format")
"""Capabilities whose value each side chooses for itself."""


class EitherMethod:
    """A method that may also be called on the class, which is then its ``self``.

    dulwich's ``capabilities`` was a class method once and is an instance's today.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type) -> Callable[[], Any]:
        return self._function.__get__(owner if instance is None else instance)  # type: ignore[no-any-return]


class Handler:
    """A command of the protocol."""

    options: ClassVar[ServiceOptions] = ServiceOptions()
    """Limits and rules; a subclass or the operator may set another value."""

    def __init__(
        self, backend: Any, proto: Any, stateless_rpc: Any = False, *, http_req: Any = None
    ) -> None:
        """``stateless_rpc``: the client has no connection, each request stands alone.
        ``http_req``: the old form of the same, any request object."""
        self.backend = backend
        self.proto = proto
        self.http_req = http_req
        self.stateless_rpc = bool(stateless_rpc) or http_req is not None

    def handle(self) -> None:
        """Serves the one request."""
        raise NotImplementedError(self.handle)


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
        listed = cls.capabilities() if capabilities is None else capabilities  # type: ignore[call-arg]
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
            if capability in allowed or name == b"agent":
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


def repository_path(args: Sequence[Any]) -> Any:
    """The path among a handler's arguments."""
    return args[0]


def asked_version(args: Sequence[Any]) -> int:
    """The protocol version among a handler's arguments, as git:// brings it."""
    words = [word.encode() if isinstance(word, str) else bytes(word) for word in args[1:]]
    return requested_version(words)
