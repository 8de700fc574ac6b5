"""The ``gitserve`` command.

In: arguments. Out: an exit status: git's, where git has such a command. ``upload-pack`` and
``receive-pack`` are dispatched before anything else is imported, for they are started once a
connection; only ``daemon``, ``http`` and ``maintain`` need :mod:`argparse`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

EXIT_FATAL = 128
EXIT_USAGE = 129

HELP = """\
usage: gitserve <command> [<arguments>]

A Git server: clone, fetch and push for git and every other client.

commands:
  daemon          serve repositories over git://
  http            serve repositories over HTTP
  http-backend    answer one HTTP request as a CGI program, for a web server
  maintain        keep repositories small and fast, as git gc does
  bundle          freeze a pack that clients over HTTP may download in parts
  upload-pack     serve one fetch or clone on standard input and output (for ssh)
  receive-pack    take one push on standard input and output (for ssh)
  upload-archive  send one archive of a tree on standard output (for ssh)

Try it, in a folder that holds repositories:
    gitserve daemon --export-all --base-path=. .
    git clone git://localhost/<repository>

`gitserve <command> --help` tells the options of one command; `gitserve --version` the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words else ""
    if command in ("upload-pack", "receive-pack", "upload-archive"):
        from gitserve.transport.stdio import run

        return run(command, words[1:])
    if command == "http-backend":
        return _http_backend(words[1:])
    if command in ("daemon", "http"):
        return _server(command, words[1:])
    if command == "maintain":
        from gitserve.maintain import run as maintain

        return maintain(words[1:])
    if command == "bundle":
        from gitserve.bundle import run as bundle

        return bundle(words[1:])
    if command in ("--version", "-v", "version"):
        return _version()
    if command in ("--help", "-h", "help"):
        sys.stdout.write(HELP)
        return 0
    if command:
        sys.stderr.write(
            f"gitserve: '{command}' is not a gitserve command. See 'gitserve --help'.\n"
        )
    else:
        sys.stderr.write(HELP)
    return EXIT_USAGE


def _version() -> int:
    from gitserve import __version__

    try:
        from gitserve._core import build_profile
    except ImportError as error:
        sys.stdout.write(f"gitserve version {__version__} (without its core: {error})\n")
        return EXIT_FATAL
    debug = "" if build_profile == "release" else f" ({build_profile} build: slow)"
    sys.stdout.write(f"gitserve version {__version__}{debug}\n")
    return 0


def _http_backend(words: Sequence[str]) -> int:
    from gitserve.transport.httpbackend import HELP as BACKEND_HELP
    from gitserve.transport.httpbackend import run

    if not words:
        return run()
    wanted = words[0] in ("-h", "--help")
    (sys.stdout if wanted else sys.stderr).write(BACKEND_HELP)
    return 0 if wanted else EXIT_USAGE


def _server(command: str, words: Sequence[str]) -> int:
    from gitserve.errors import GitServeError
    from gitserve.transport.daemonoptions import DAEMON, HTTP, configured, parse
    from gitserve.transport.listen import CannotListen
    from gitserve.transport.process import end_by

    try:
        namespace = parse(words, HTTP if command == "http" else DAEMON)
    except SystemExit as ended:
        return EXIT_USAGE if ended.code else 0
    try:
        chosen = HTTP if command == "http" else DAEMON
        options, exports, services = configured(namespace, chosen)
    except ValueError as error:
        sys.stderr.write(f"fatal: {error}\n")
        return EXIT_FATAL
    try:
        if command == "http":
            from gitserve.transport.httpserver import run_http

            sign = run_http(options, exports, services)
        elif namespace.inetd:
            from gitserve.transport.inetd import serve_standard_input

            serve_standard_input(options, exports, services)
            return 0
        else:
            from gitserve.transport.tcp import run_daemon

            sign = run_daemon(options, exports, services)
    except (GitServeError, CannotListen, OSError, ValueError) as error:
        sys.stderr.write(f"fatal: {error}\n")
        return EXIT_FATAL
    end_by(sign)
    return 128 + sign
