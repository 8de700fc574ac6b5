"""A policy at the door of what bears dulwich's names.

In: handler classes and an operator's policy, or a web request. Out: the same handlers, which ask;
who is asking. Handlers are asked by whoever runs them, who knows the client
(:meth:`.handlers.Handler.admit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitserve.dropin.handlers import Handler, location_of_repo
from gitserve.dropin.served import served
from gitserve.policy import Policy, Request
from gitserve.service.permission import admit

UPLOAD_PACK = b"git-upload-pack"


def handlers_with(policy: Policy, handlers: Mapping[bytes, Any] | None = None) -> dict[bytes, Any]:
    """Handler classes that ask this policy: those given, default all that there are.

    For ``TCPGitServer(backend, address, handlers=handlers_with(Rules()))``, and likewise for
    ``HTTPGitApplication`` and ``make_wsgi_chain``, whose dumb protocol asks as well. What is no
    handler of ours (a function, somebody's own class) stays as it is, and asks nobody.
    """
    from gitserve.dropin.tcp import DEFAULT_HANDLERS

    guarded: dict[bytes, Any] = {}
    for name, handler in (DEFAULT_HANDLERS if handlers is None else handlers).items():
        if isinstance(handler, type) and issubclass(handler, Handler):
            options = handler.options.but(policy=policy)
            guarded[name] = type(handler.__name__, (handler,), {"options": options})
        else:
            guarded[name] = handler
    return guarded


def admit_files(
    handlers: Mapping[bytes, Any] | None, environ: Mapping[str, Any], repo: Any, path: str
) -> tuple[bytes, ...]:
    """For the dumb protocol, by the policy of its application's handlers; the patterns of refs
    that are hidden. Raises :class:`~gitserve.service.permission.NotPermitted`."""
    handler = (handlers or {}).get(UPLOAD_PACK)
    if not (isinstance(handler, type) and issubclass(handler, Handler)):
        return ()
    policy = handler.options.policy
    if policy is None:
        return ()
    user, address = client_of(environ)
    where = location_of_repo(served(repo), path)
    return admit(policy, Request("files", where, "http", user, address))


def client_of(environ: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """User and address, by the word of the web server in front."""
    return environ.get("REMOTE_USER") or None, environ.get("REMOTE_ADDR") or None
