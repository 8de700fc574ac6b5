"""The command lines of ``gitserve daemon`` and ``gitserve http``.

Both have git-daemon(1)'s options under git-daemon(1)'s names.

In: words. Out: :class:`~gitserve.options.DaemonOptions`, exports and service rules.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from gitserve.options import DEFAULT_PORT, ConnectionOptions, DaemonOptions
from gitserve.record import Record
from gitserve.service import packcache
from gitserve.transport.exports import Exports
from gitserve.transport.loadpolicy import load_policy
from gitserve.transport.services import (
    DEFAULT_SERVICES,
    ServiceRule,
    service_rules,
)

HTTP_PORT = 8000
"""Of no meaning; those below 1024 are not for everyone to listen on."""


_RULES = """\
Nothing may be pushed unless --enable=receive-pack says so: nobody is asked who he is{here}.
Without --export-all only repositories that hold a file git-daemon-export-ok are served.
"""


class Command(Record):
    """One of the two."""

    name: str
    description: str
    epilog: str
    port: int
    settings: str
    """The section of a repository's configuration in which it allows or refuses services."""


DAEMON = Command(
    "daemon",
    "Serves Git repositories over git://.",
    _RULES.format(here=" on git://")
    + """
example:
  gitserve daemon --export-all --base-path=/srv/git /srv/git
  git clone git://localhost/project.git
""",
    DEFAULT_PORT,
    "daemon",
)

HTTP = Command(
    "http",
    "Serves Git repositories over HTTP: without TLS, one request a connection.",
    _RULES.format(here="")
    + """
For the open network put a proxy in front of it that speaks HTTPS and knows who may push.

example:
  gitserve http --export-all --base-path=/srv/git /srv/git
  git clone http://localhost:8000/project.git
""",
    HTTP_PORT,
    "http",
)


def server_parser(command: Command = DAEMON) -> argparse.ArgumentParser:
    """The options, with their help."""
    connections = ConnectionOptions()
    defaults = DaemonOptions()
    parser = argparse.ArgumentParser(
        prog=f"gitserve {command.name}",
        description=command.description,
        epilog=command.epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "directory", nargs="*",
        help="serve only repositories in these directories (and below them)",
    )  # fmt: skip

    which = parser.add_argument_group("which repositories")
    which.add_argument("--base-path", metavar="PATH", help="requested paths are relative to it")
    which.add_argument(
        "--base-path-relaxed", action="store_true",
        help="try without --base-path when there is nothing under it",
    )  # fmt: skip
    which.add_argument(
        "--export-all", action="store_true",
        help="serve repositories without a file git-daemon-export-ok too",
    )  # fmt: skip
    which.add_argument(
        "--strict-paths", action="store_true",
        help="take paths and directories literally; guess no .git",
    )  # fmt: skip
    which.add_argument(
        "--user-path", metavar="PATH",
        help="allow ~user/...; PATH, which may be left out, is a folder in the user's home",
    )  # fmt: skip
    if command is DAEMON:
        which.add_argument(
            "--interpolated-path", metavar="TEMPLATE",
            help="where a repository is, by the host that the client calls: %%H host, %%CH its"
            " canonical name, %%IP address, %%P port, %%D the path asked for, %%%% percent",
        )  # fmt: skip

    what = parser.add_argument_group("which services (upload-pack, receive-pack)")
    for name, text in (
        ("enable", "offer a service; a repository may refuse with {settings}.<service>=false"),
        ("disable", "do not offer it; a repository may still allow it"),
        ("allow-override", "let repositories decide about it (so it is)"),
        ("forbid-override", "do not let them"),
    ):
        what.add_argument(f"--{name}", metavar="SERVICE", action="append", default=[],
            help=text.format(settings=command.settings),
        )  # fmt: skip

    what.add_argument(
        "--policy", metavar="MODULE:NAME", default=os.environ.get("GITSERVE_POLICY"),
        help="ask these rules in Python who may read, who may write and which refs may move;"
        " MODULE may be a file, /etc/gitserve/rules.py",
    )  # fmt: skip
    if command is DAEMON:
        what.add_argument(
            "--access-hook", metavar="PROGRAM",
            help="ask it before each request; its line of output is why it refuses",
        )  # fmt: skip

    where = parser.add_argument_group("where to listen")
    if command is DAEMON:
        where.add_argument(
            "--inetd", action="store_true",
            help="nowhere: serve the one client on standard input and output",
        )  # fmt: skip
    where.add_argument(
        "--listen", metavar="HOST", action="append", default=[],
        help="an address or name; may be given more than once (all addresses)",
    )  # fmt: skip
    where.add_argument(
        "--port", type=_count, help=f"0 takes any free one ({command.port})"
    )  # fmt: skip
    where.add_argument(
        "--reuseaddr", action="store_true", help="do not wait for old connections to expire"
    )

    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--init-timeout", metavar="SECONDS", default=str(int(connections.init_timeout)),
        help="until the client has said what it wants (%(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--timeout", metavar="SECONDS", default=str(int(connections.timeout)),
        help="in which the client neither sends nor takes a byte; 0: for ever (%(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--max-connections", metavar="N", default=str(connections.max_connections),
        help="at once; 0: no limit (%(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--workers", type=_count, metavar="N", default=defaults.workers,
        help="processes (one a processor)",
    )  # fmt: skip
    limits.add_argument(
        "--threads", type=_count, metavar="N", default=defaults.threads,
        help="for one request (one a processor)",
    )  # fmt: skip
    limits.add_argument(
        "--memory", type=_count, metavar="MIB", default=0,
        help="for all large requests together; beyond it they wait (half of the machine's)",
    )  # fmt: skip
    limits.add_argument(
        "--learnt-memory", type=_count, metavar="MIB", default=None,
        help="for bitmaps and deltas that requests leave behind; 0: none (384 a worker, or"
        " less: an eighth of the machine's)",
    )  # fmt: skip
    limits.add_argument(
        "--max-waiting", type=_count, metavar="N", default=defaults.max_waiting,
        help="large requests that wait so; one more is told to come again (any number)",
    )  # fmt: skip
    limits.add_argument(
        "--pack-cache", metavar="DIR|off",
        default=os.environ.get(packcache.VARIABLE) or packcache.OFF,
        help="remember packs in this folder, which must be closed to others: a pack asked for again"
        " is copied, and one asked for by many at once is made once (%(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--pack-cache-size", metavar="MIB",
        default=os.environ.get(packcache.SIZE_VARIABLE) or packcache.MEBIBYTES,
        help="that the folder may take (%(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--grace", type=_count, metavar="SECONDS", default=int(defaults.grace),
        help="for running transfers when the server is stopped (%(default)s)",
    )  # fmt: skip

    life = parser.add_argument_group("running")
    life.add_argument("--pid-file", metavar="FILE", help="write the process id there")
    life.add_argument("--verbose", action="store_true", help="log connections, not only requests")
    if command is DAEMON:
        life.add_argument(
            "--informative-errors", action=argparse.BooleanOptionalAction, default=False,
            help="tell clients why they cannot have a repository",
        )  # fmt: skip
    life.add_argument(
        "--log-destination", choices=("stderr", "syslog", "none"),
        help="where the log goes (stderr; with --detach or --inetd, syslog)",
    )  # fmt: skip
    life.add_argument(
        "--syslog", action="store_const", const="syslog", dest="log_destination",
        help="--log-destination=syslog",
    )  # fmt: skip
    life.add_argument("--detach", action="store_true", help="go on in the background")
    life.add_argument("--user", metavar="NAME", help="become this user once it listens")
    life.add_argument("--group", metavar="NAME", help="and of this group")
    return parser


def parse(words: Sequence[str], command: Command = DAEMON) -> argparse.Namespace:
    """Raises SystemExit after ``--help`` or a usage error, as argparse does."""
    # the one option of git's whose value is optional; argparse would take a directory for it
    return server_parser(command).parse_args(
        ["--user-path=" if word == "--user-path" else word for word in words]
    )


def configured(
    namespace: argparse.Namespace, command: Command = DAEMON
) -> tuple[DaemonOptions, Exports, dict[str, ServiceRule]]:
    """What the options mean. Raises ValueError, in words for the operator."""
    directories = tuple(_absolute(name) for name in namespace.directory)
    if namespace.strict_paths and not directories:
        raise ValueError("option --strict-paths requires a list of directories")
    base_path = None if namespace.base_path is None else _absolute(namespace.base_path)
    if base_path is not None and not os.path.isdir(base_path):
        raise ValueError(f"base-path '{namespace.base_path}' does not exist or is not a directory")
    inetd = getattr(namespace, "inetd", False)
    if inetd and (namespace.listen or namespace.port is not None):
        raise ValueError("--listen= and --port= are incompatible with --inetd")
    if inetd and (namespace.detach or namespace.user is not None or namespace.group is not None):
        raise ValueError("--detach, --user and --group are incompatible with --inetd")
    port = command.port if namespace.port is None else namespace.port
    if port > 65535:
        raise ValueError(f"there is no port {port}")
    exports = Exports(
        base_path=base_path,
        base_path_relaxed=namespace.base_path_relaxed,
        directories=directories,
        strict_paths=namespace.strict_paths,
        export_all=namespace.export_all,
        user_path=namespace.user_path,
        interpolated_path=getattr(namespace, "interpolated_path", None),
    )
    options = DaemonOptions(
        addresses=tuple(namespace.listen),
        port=port,
        reuse_address=namespace.reuseaddr,
        workers=namespace.workers,
        threads=namespace.threads,
        memory=namespace.memory << 20,
        learnt_memory=None if namespace.learnt_memory is None else namespace.learnt_memory << 20,
        max_waiting=namespace.max_waiting,
        pack_cache=packcache.chosen(namespace.pack_cache, namespace.pack_cache_size),
        grace=float(namespace.grace),
        pid_file=namespace.pid_file,
        verbose=namespace.verbose,
        log_destination=namespace.log_destination
        or ("syslog" if namespace.detach or inetd else "stderr"),
        policy=load_policy(namespace.policy),
        access_hook=getattr(namespace, "access_hook", None),
        user=namespace.user,
        group=namespace.group,
        detached=namespace.detach,
        informative_errors=getattr(namespace, "informative_errors", False),
        connections=ConnectionOptions(
            init_timeout=_seconds("init-timeout", namespace.init_timeout),
            timeout=_seconds("timeout", namespace.timeout),
            max_connections=_number("max-connections", namespace.max_connections),
        ),
    )
    services = service_rules(
        namespace.enable,
        namespace.disable,
        namespace.allow_override,
        namespace.forbid_override,
        DEFAULT_SERVICES,
    )
    return options, exports, services


def _absolute(path: str) -> str:
    return os.path.normpath(os.path.join(os.getcwd(), path))


def _seconds(name: str, text: str) -> float:
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"invalid {name} '{text}', expecting a non-negative integer")
    return float(text)


def _number(name: str, text: str) -> int:
    """One below zero means what zero does."""
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise ValueError(f"invalid {name} '{text}', expecting an integer")
    return max(0, int(text))


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"'{text}' is no number")
    return int(text)
