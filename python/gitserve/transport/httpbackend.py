"""``gitserve http-backend``: Git over HTTP behind a web server, as a CGI program.

In: the environment of RFC 3875 and standard input. Out: one answer on standard output, errors on
standard error, which web servers put into their logs. Implements git-http-backend(1):
``GIT_PROJECT_ROOT``, ``PATH_TRANSLATED``, ``GIT_HTTP_EXPORT_ALL``, ``REMOTE_USER``,
``GIT_PROTOCOL``, ``GIT_HTTP_MAX_REQUEST_BUFFER``. What is answered is :mod:`.httpapp`'s.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gitserve.errors import GitServeError
from gitserve.options import HookRules, HttpLimits, PackCacheOptions
from gitserve.policy import Policy
from gitserve.repository.config import parse_int
from gitserve.repository.native import NativeRepository
from gitserve.repository.ownership import check_ownership
from gitserve.service import packcache
from gitserve.service.requests import ServiceOptions
from gitserve.transport.exports import Exports, NotExported
from gitserve.transport.httpapp import CLIENT_SOCKET, Find, GitHttp
from gitserve.transport.httpbody import MAX_LENGTH_DIGITS
from gitserve.transport.httprequest import BAD_REQUEST, OK, SERVER_ERROR
from gitserve.transport.log import Log
from gitserve.transport.services import (
    DEFAULT_SERVICES,
    RECEIVE_PACK,
    UPLOAD_ARCHIVE,
    ServiceRule,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse

MAX_REQUEST = "GIT_HTTP_MAX_REQUEST_BUFFER"

HELP = """\
usage: gitserve http-backend

Answers one HTTP request as a CGI program. Not for people: a web server calls it. For Apache:

    SetEnv GIT_PROJECT_ROOT /srv/git
    SetEnv GIT_HTTP_EXPORT_ALL
    ScriptAlias /git/ /path/to/gitserve-http-backend/

where that program is a script with the line `exec gitserve http-backend`. With GITSERVE_POLICY set
to MODULE:NAME or FILE.py:NAME, these rules in Python are asked what may be done. In the folder
GITSERVE_PACK_CACHE, which must be closed to others, packs are remembered (GITSERVE_PACK_CACHE_SIZE:
how many MiB it may take).
"""


class ErrorLog(Log):
    """The web server's log: it knows who we are and when it is."""

    def line(self, text: str) -> None:
        """As git's programs complain."""
        told = text if text.startswith("warning: ") else f"fatal: {text}"
        _complain(told)


def _complain(text: str) -> None:
    """One line, whatever a client has put into it."""
    sys.stderr.write("".join(c if c.isprintable() else "?" for c in text) + "\n")


class Unusable(Exception):
    """The web server's environment makes no sense."""

    def __init__(self, message: str, status: str = SERVER_ERROR) -> None:
        super().__init__(message)
        self.status = status


def run(environ: Mapping[str, str] | None = None) -> int:
    """The command. Its exit status is 0 whatever it answers, as git's is."""
    env = dict(os.environ) if environ is None else dict(environ)
    with open(1, "wb", buffering=0, closefd=False) as out:
        try:
            root, path = _place(env)
            if not env.get("REQUEST_METHOD"):
                raise Unusable("No REQUEST_METHOD from server")
            _check_length(env.get("CONTENT_LENGTH", ""))
            policy = _policy(env)
            limits = _limits(env)
            pack_cache = _pack_cache(env)
        except Unusable as error:
            _complain(f"fatal: {error}")
            out.write(f"Status: {error.status}\r\nContent-Type: text/plain\r\n\r\n".encode())
            return 0
        with open(0, "rb", closefd=False) as source:
            _answer(env, root, path, source, out, policy, limits, pack_cache)
    return 0


def _place(environ: Mapping[str, str]) -> tuple[str | None, str]:
    """Where the repositories are, None for the whole file system; and what is asked for there."""
    root = environ.get("GIT_PROJECT_ROOT", "")
    if root:
        asked = environ.get("PATH_INFO", "")
        if not asked:
            raise Unusable("GIT_PROJECT_ROOT is set but PATH_INFO is not")
        path = asked if asked.startswith("/") else "/" + asked
        if _is_alias(path):
            raise Unusable(f"'{asked}': aliased")
        return os.path.abspath(root), path
    translated = environ.get("PATH_TRANSLATED", "")
    if not translated:
        raise Unusable("No GIT_PROJECT_ROOT or PATH_TRANSLATED from server")
    # the web server has put a folder in front of it, and not always minded the slashes
    parts = [part for part in translated.split("/") if part]
    path = "/" + "/".join(parts)
    if not translated.startswith("/") or _is_alias(path):
        raise Unusable(f"'{translated}': aliased")
    return None, path


def _policy(environ: Mapping[str, str]) -> Policy | None:
    named = environ.get("GITSERVE_POLICY")
    if not named:
        return None
    from gitserve.transport.loadpolicy import load_policy

    try:
        return load_policy(named)
    except ValueError as error:
        raise Unusable(str(error)) from error


def _limits(environ: Mapping[str, str]) -> HttpLimits:
    """``GIT_HTTP_MAX_REQUEST_BUFFER``, which goes before what the repository says."""
    said = environ.get(MAX_REQUEST)
    if said is None:
        return HttpLimits()
    most = parse_int(said)
    if most is None or most < 0:
        raise Unusable(f"failed to parse {MAX_REQUEST}: {said}")
    return HttpLimits(max_fetch_bytes=most or 1, fetch_bytes_are_final=True)


def _pack_cache(environ: Mapping[str, str]) -> PackCacheOptions | None:
    directory = environ.get(packcache.VARIABLE)
    if not directory:
        return None
    try:
        size = environ.get(packcache.SIZE_VARIABLE) or packcache.MEBIBYTES
        return packcache.chosen(directory, size)
    except ValueError as error:
        raise Unusable(str(error)) from error


def _is_alias(path: str) -> bool:
    return any(part in ("", ".", "..") for part in path[1:].split("/"))


def _check_length(text: str) -> None:
    if text and (not (text.isascii() and text.isdigit()) or len(text) > MAX_LENGTH_DIGITS):
        raise Unusable(f"failed to parse CONTENT_LENGTH: {text}", BAD_REQUEST)


def _answer(
    environ: Mapping[str, str],
    root: str | None,
    path: str,
    source: io.BufferedReader,
    out: io.FileIO,
    policy: Policy | None,
    limits: HttpLimits,
    pack_cache: PackCacheOptions | None,
) -> None:
    signed_in = bool(environ.get("REMOTE_USER"))
    services = dict(DEFAULT_SERVICES)
    # nobody may push whom the web server does not know, unless the repository says so
    services[RECEIVE_PACK] = services[UPLOAD_ARCHIVE] = ServiceRule(enabled=signed_in)
    app = GitHttp(
        _find(environ, Exports(base_path=root, export_all="GIT_HTTP_EXPORT_ALL" in environ)),
        services=services,
        options=ServiceOptions(
            hooks=HookRules(environ=_hook_environ(environ)),
            upkeep="process",
            policy=policy,
            pack_cache=pack_cache,
        ),
        limits=limits,
        log=ErrorLog(),
        log_well=False,
    )
    asked: dict[str, Any] = {
        **environ,
        # PEP 3333: each byte in the place of the Latin-1 character of its number
        "PATH_INFO": os.fsencode(path).decode("latin-1"),
        "wsgi.input": source,
        CLIENT_SOCKET: out,  # a pipe, which the web server closes when its client goes
        # without a length the web server ends the body by closing the pipe
        "wsgi.input_terminated": not environ.get("CONTENT_LENGTH"),
    }
    if "GIT_PROTOCOL" in environ:  # even empty, it is what the web server's owner wants
        asked["HTTP_GIT_PROTOCOL"] = environ["GIT_PROTOCOL"]
    pieces = app(asked, _starter(out))
    try:
        for piece in pieces:
            _write(out, piece)
    except BrokenPipeError:
        return  # the web server has given it up
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _starter(out: io.FileIO) -> StartResponse:
    def start_response(
        status: str, headers: list[tuple[str, str]], _error: object = None, /
    ) -> Callable[[bytes], object]:
        lines = [] if status == OK else [f"Status: {status}"]
        # the length is the web server's to find out: it may compress
        lines += [f"{name}: {value}" for name, value in headers]
        _write(out, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return lambda piece: _write(out, piece)

    return start_response


def _write(out: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[out.write(left) or 0 :]


def _find(environ: Mapping[str, str], exports: Exports) -> Find:
    def find(requested: bytes) -> NativeRepository:
        location = exports.find(requested)
        try:
            check_ownership(location, environ)
            repository = NativeRepository(location, environ)
            repository.refresh()
        except GitServeError as error:
            raise NotExported(str(error)) from error
        return repository

    return find


def _hook_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Hooks and reflogs name whom the web server knows, unless somebody has named a committer."""
    user = environ.get("REMOTE_USER") or "anonymous"
    host = environ.get("REMOTE_ADDR") or "(none)"
    names = {"GIT_COMMITTER_NAME": user, "GIT_COMMITTER_EMAIL": f"{user}@http.{host}"}
    # a client's header must not become the proxy of what a hook downloads
    return {**names, **{key: value for key, value in environ.items() if key != "HTTP_PROXY"}}
