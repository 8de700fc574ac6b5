"""``gitserve upload-pack DIR`` and ``gitserve receive-pack DIR``: one request on a pipe.

In: standard input and output, as sshd or ``git clone -u`` connect them. Out: the service, and git's
exit status: 0, 128 for a fatal error, 129 for wrong usage. Implements git-upload-pack(1) and
git-receive-pack(1). It is started once a connection, so it imports no more than it needs; arguments
are read by hand for that reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gitserve.errors import GitServeError, HangupError, NoRepository, Refused
from gitserve.record import TYPE_CHECKING, Record
from gitserve.repository.locate import locate
from gitserve.repository.native import NativeRepository
from gitserve.repository.ownership import check_ownership
from gitserve.service import packcache
from gitserve.service.requests import (
    Manner,
    ServiceOptions,
    serve_archive,
    serve_receive,
    serve_upload,
)
from gitserve.service.sharing import serve_only
from gitserve.service.streams import Conversation
from gitserve.service.tally import Tally
from gitserve.transport.pipes import PipeStream
from gitserve.wire.protocol_version import requested_version, split_parameters

if TYPE_CHECKING:
    from gitserve.options import PackCacheOptions
    from gitserve.policy import Policy, Request
    from gitserve.transport.tracing import TracedStream

_HARMLESS = frozenset("\n\t").union(map(chr, range(0xDC80, 0xDD00)))
"""What is no text but may be shown: bytes that are no UTF-8 are how some spell their names."""

EXIT_FATAL = 128
EXIT_USAGE = 129

HELP = {
    "upload-pack": """\
usage: gitserve upload-pack [--policy=<module>:<name>] [--pack-cache=<folder>]
                            [--[no-]strict] [--timeout=<n>] [--stateless-rpc]
                            [--advertise-refs] <directory>

Sends what a fetch or clone asks for. Not for people: git calls it, as in
    git clone -u 'gitserve upload-pack' host:/path/to/project.git
or sshd does, as a forced command.

  --policy=<module>:<name>
                        ask these rules in Python; GITSERVE_POLICY in the environment is the same
  --pack-cache=<folder> remember packs there, which must be closed to others, or off; and
  --pack-cache-size=<MiB>
                        that it may take; GITSERVE_PACK_CACHE and GITSERVE_PACK_CACHE_SIZE in the
                        environment are the same
  --strict              do not try <directory>/.git when <directory> is no repository
  --timeout=<n>         give up after <n> seconds in which the client does nothing
  --stateless-rpc       one request and its answer, for a caller that speaks HTTP
  --advertise-refs, --http-backend-info-refs
                        only the first answer, for such a caller
""",
    "upload-archive": """\
usage: gitserve upload-archive [--policy=<module>:<name>] <directory>

Sends an archive of a tree. Not for people: git calls it, as in
    git archive --remote=host:/path/to/project.git --exec='gitserve upload-archive' HEAD
or sshd does, as a forced command.
""",
    "receive-pack": """\
usage: gitserve receive-pack [--policy=<module>:<name>] [--timeout=<n>] [--stateless-rpc]
                             [--advertise-refs]
                             [--skip-connectivity-check] <directory>

Takes what a push brings. Not for people: git calls it, as in
    git push --receive-pack='gitserve receive-pack' host:/path/to/project.git
or sshd does, as a forced command.

  --policy=<module>:<name>
                        ask these rules in Python; GITSERVE_POLICY in the environment is the same
  --timeout=<n>         give up after <n> seconds in which the client does nothing
  --stateless-rpc       one request and its answer, for a caller that speaks HTTP
  --advertise-refs, --http-backend-info-refs
                        only the first answer, for such a caller
  --skip-connectivity-check
                        believe that what is pushed leads to no missing object
""",
}


class Call(Record):
    """A command line, understood."""

    directory: str
    strict: bool = False
    timeout: float = 0.0
    stateless: bool = False
    advertise_only: bool = False
    check_connectivity: bool = True
    policy: str | None = None
    """Where the operator's rules are."""
    pack_cache: str | None = None
    pack_cache_size: str | None = None


class UsageError(Exception):
    """A command line that means nothing."""


def parse_arguments(service: str, arguments: Sequence[str]) -> Call:
    """Raises :class:`UsageError`."""
    directory: str | None = None
    flags = {"strict": False, "stateless": False, "advertise": False, "trusting": False}
    timeout = 0.0
    policy = pack_cache = pack_cache_size = None
    names = {
        "--stateless-rpc": ("stateless", True),
        "--advertise-refs": ("advertise", True),
        "--http-backend-info-refs": ("advertise", True),
    }
    if service == "upload-pack":
        names |= {"--strict": ("strict", True), "--no-strict": ("strict", False)}
    else:
        names["--skip-connectivity-check"] = ("trusting", True)
    words = iter(arguments)
    for word in words:
        if word in names:
            name, value = names[word]
            flags[name] = value
        elif word == "--timeout" or word.startswith("--timeout="):
            number = word[len("--timeout=") :] if "=" in word else next(words, "")
            if not number.isdecimal():
                raise UsageError("option `timeout' expects a numerical value")
            timeout = float(number)
        elif word.startswith("--policy="):
            policy = word.partition("=")[2]
        elif word.startswith("--pack-cache=") and service == "upload-pack":
            pack_cache = word.partition("=")[2]
        elif word.startswith("--pack-cache-size=") and service == "upload-pack":
            pack_cache_size = word.partition("=")[2]
        elif word == "--":
            rest = list(words)
            if directory is None and len(rest) == 1:
                directory = rest[0]
            else:
                raise UsageError("one directory is needed")
        elif word in ("-q", "--quiet") and service == "receive-pack":
            continue  # the client says how quiet it wants this
        elif word.startswith("-"):
            raise UsageError(f"unknown option `{word.lstrip('-')}'")
        elif directory is None:
            directory = word
        else:
            raise UsageError("too many arguments")
    if directory is None:
        raise UsageError("you must specify a directory")
    return Call(
        directory,
        flags["strict"],
        timeout,
        flags["stateless"],
        flags["advertise"],
        check_connectivity=not flags["trusting"],
        policy=policy,
        pack_cache=pack_cache,
        pack_cache_size=pack_cache_size,
    )


def run(service: str, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> int:
    """The command; its exit status."""
    env = os.environ if environ is None else environ
    if any(word in ("-h", "--help") for word in arguments):
        sys.stdout.write(HELP[service])
        return 0
    try:
        call = parse_arguments(service, arguments)
    except UsageError as error:
        _complain(f"error: {error}\n{HELP[service]}")
        return EXIT_USAGE
    if call.policy is None and env.get("GITSERVE_POLICY"):
        call = call.but(policy=env["GITSERVE_POLICY"])
    if env.get("GIT_TRACE_PACKET") or env.get("GIT_TRACE2_EVENT"):
        from gitserve.transport import tracing  # it is hardly ever asked for

        if tracing.wanted(env):
            return _traced(service, call, env, [service, *arguments])
    return _guarded(lambda: _serve(service, call, env))[0]


def _guarded(serve: Callable[[], None]) -> tuple[int, str]:
    """Exit status, and the complaint if there was one."""
    try:
        serve()
    except HangupError:
        complaint = HangupError.GONE
    except (GitServeError, OSError) as error:
        complaint = str(error)
    except KeyboardInterrupt:
        return 130, ""
    else:
        return 0, ""
    _complain(f"fatal: {complaint}\n")
    return EXIT_FATAL, complaint


def _traced(service: str, call: Call, environ: Mapping[str, str], words: list[str]) -> int:
    from gitserve.transport.tracing import CATEGORIES, Events, Target, TracedStream

    events = Events(environ, words)
    packets = Target(environ.get("GIT_TRACE_PACKET", ""))
    tally = Tally()

    def serve() -> None:
        pipes = PipeStream(0, 1, call.timeout)
        stream = TracedStream(pipes, pipes, service, packets, environ) if packets.open else pipes
        _serve(service, call, environ, stream, tally)

    version = _version(environ)
    if service == "receive-pack" and version == 2:
        version = 0
    events.data("transfer", "negotiated-version", version)
    status, complaint = _guarded(serve)
    for key, value in tally.traced:
        events.data(CATEGORIES.get(key, "transfer"), key, value)
    if tally.remembered:
        events.data("pack-cache", "outcome", tally.remembered)
    events.end(status, complaint)
    return status


def _version(environ: Mapping[str, str]) -> int:
    return requested_version(split_parameters(os.fsencode(environ.get("GIT_PROTOCOL", ""))))


def _serve(
    service: str,
    call: Call,
    environ: Mapping[str, str],
    traced: PipeStream | TracedStream | None = None,
    tally: Tally | None = None,
) -> None:
    """``traced``: a stream of somebody who writes down what passes; then ``tally``, too."""
    serve_only()
    location = locate(call.directory, strict=call.strict)
    if location is None:
        raise no_repository(call)
    check_ownership(location, environ)
    repository = NativeRepository(location, environ)
    policy = asking = None
    hidden: tuple[bytes, ...] = ()
    if call.policy is not None:
        policy, asking, hidden = _admitted(call, service, repository, environ)
    stream = PipeStream(0, 1, call.timeout) if traced is None else traced
    conversation = Conversation(stream, stream, stream.fileno())
    manner = Manner(
        version=_version(environ),
        stateless=call.stateless,
        advertise_only=call.advertise_only,
        request=asking,
        hidden=hidden,
    )
    tally = tally or Tally()
    options = ServiceOptions(
        check_connectivity=call.check_connectivity,
        traced=traced is not None,
        lazy_environ=environ,
        upkeep="process",
        policy=policy,
        pack_cache=_pack_cache(call, environ) if service == "upload-pack" else None,
    )
    try:
        if service == "upload-archive":
            serve_archive(repository, conversation, hidden)
        elif service == "upload-pack":
            serve_upload(repository, conversation, manner, options, tally)
        else:
            serve_receive(
                repository, conversation, manner, options, tally,
                aside=lambda text: _complain_bytes(text),
            )  # fmt: skip
    finally:
        for warning in dict.fromkeys(tally.warnings):
            _complain(f"warning: {warning}\n")


def _pack_cache(call: Call, environ: Mapping[str, str]) -> PackCacheOptions | None:
    """Where packs are remembered; an option says more than the environment."""
    directory = call.pack_cache or environ.get(packcache.VARIABLE)
    if not directory and call.pack_cache is None:
        return None
    mebibytes = call.pack_cache_size or environ.get(packcache.SIZE_VARIABLE)
    try:
        return packcache.chosen(directory or "", mebibytes or packcache.MEBIBYTES)
    except ValueError as error:
        raise Refused(str(error)) from error


def _admitted(
    call: Call, service: str, repository: NativeRepository, environ: Mapping[str, str]
) -> tuple[Policy | None, Request, tuple[bytes, ...]]:
    """The policy, which has let this client in, and the refs that it hides from him. Raises what
    he is told otherwise."""
    from gitserve.policy import Request
    from gitserve.service.permission import NotPermitted, admit
    from gitserve.transport.loadpolicy import load_policy

    address = environ.get("SSH_CONNECTION", "").partition(" ")[0] or environ.get("REMOTE_ADDR")
    user = environ.get("REMOTE_USER")
    asking = Request(service, repository.git_dir, "stdio", user or None, address or None)
    try:
        policy = load_policy(call.policy)
    except ValueError as error:
        raise Refused(str(error)) from error
    try:
        hidden = admit(policy, asking)
    except NotPermitted as error:
        if error.told is None:
            raise no_repository(call) from error
        raise Refused(error.told.decode()) from error
    return policy, asking, hidden


def no_repository(call: Call) -> NoRepository:
    """In git's words."""
    return NoRepository(f"'{call.directory}' does not appear to be a git repository")


def _complain(text: str) -> None:
    told = "".join(c if c.isprintable() or c in _HARMLESS else "?" for c in text)
    _complain_bytes(told.encode("utf-8", "surrogateescape"))


def _complain_bytes(text: bytes) -> None:
    with suppress(OSError):
        os.write(2, text)
