"""Git over HTTP as an ASGI application, for uvicorn, hypercorn and frameworks that mount such.

    uvicorn --factory 'mysite:git'

where ``mysite.py`` says::

    from gitserve.asgi import folder_application

    def git():
        return folder_application("/srv/git")

What is answered is what :mod:`gitserve.web` answers, and ``gitserve http``. There is more to choose
in ``AsgiBridge(GitHttp(...))``. Requests run on threads of their own; TLS, names and passwords are
the server's, or a framework's in front.
"""

from __future__ import annotations

from collections.abc import Callable

from gitserve import web
from gitserve.policy import Policy
from gitserve.transport.asgibridge import AsgiBridge, BridgeLimits, Scope

__all__ = ["AsgiBridge", "BridgeLimits", "folder_application"]


def folder_application(
    base_path: str,
    *,
    export_all: bool = False,
    push: bool = False,
    policy: Policy | None = None,
    pack_cache: str | None = None,
    pack_cache_size: int | None = None,
    verbose: bool = False,
    user: Callable[[Scope], str | None] | None = None,
) -> AsgiBridge:
    """Serves the repositories below a folder, as :func:`gitserve.web.folder_application`.

    ``user``: whom a request is from, by what a framework in front has noted in its scope.
    """
    application = web.folder_application(
        base_path,
        export_all=export_all,
        push=push,
        policy=policy,
        pack_cache=pack_cache,
        pack_cache_size=pack_cache_size,
        verbose=verbose,
    )
    return AsgiBridge(application, user=user)
