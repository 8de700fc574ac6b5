"""``gitserve bundle``: freezes what a repository has into a file that is downloaded in parts.

In: arguments. Out: an exit status, and for each repository a line that says where the bundle is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from gitserve.errors import GitServeError, NoRepository
from gitserve.repository.locate import locate
from gitserve.repository.native import NativeRepository
from gitserve.repository.ownership import check_ownership
from gitserve.service.bundling import make_bundle

EXIT_FAILED = 1
EXIT_USAGE = 129


def run(words: Sequence[str]) -> int:
    """The command; its exit status: 0, 1 when a repository failed, 129 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog="gitserve bundle",
        description="Makes a bundle of all visible refs, in REPO/bundles/. Servers give it away "
        "over HTTP, in parts when asked for parts, and tell clients of protocol v2 about it where "
        "uploadpack.advertiseBundleURIs is true. It takes as much disk as a clone. To be run from "
        "time to time; where no ref has moved, nothing is done.",
    )
    parser.add_argument("repository", nargs="+", metavar="REPO")
    parser.add_argument(
        "--keep", type=int, default=2, metavar="N",
        help="bundles that stay, so that downloads of older ones can go on (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=0, help="0: as many as processors")
    parser.add_argument("-q", "--quiet", action="store_true", help="only errors")
    try:
        chosen = parser.parse_args(words)
    except SystemExit as ended:
        return EXIT_USAGE if ended.code else 0
    # one that fails does not keep the others from their turn
    try:
        return max([_one(path, chosen) for path in chosen.repository])
    except KeyboardInterrupt:
        return 130


def _one(path: str, chosen: argparse.Namespace) -> int:
    try:
        location = locate(path)
        if location is None:
            raise NoRepository(f"'{path}' does not appear to be a git repository")
        check_ownership(location, os.environ)
        repository = NativeRepository(location, os.environ)
        made = make_bundle(repository, keep=chosen.keep, threads=max(0, chosen.threads))
    except (GitServeError, OSError) as error:
        sys.stderr.write(f"error: {path}: {error}\n")
        return EXIT_FAILED
    if not chosen.quiet:
        news = f"{made.objects:,} objects" if made.is_new else "as it was"
        print(f"{made.bundle.path}: {made.bundle.size:,} bytes, {news}")
    return 0
