"""The arguments of ``git archive --remote``, understood.

In: arguments. Out: :class:`ArchiveRequest`. Git's document: git-archive(1). What would write on the
server, or read its files, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitserve.errors import Refused
from gitserve.record import Record
from gitserve.repository.config import Config

ZIP, TAR = b"zip", b"tar"
BUILT_IN = (TAR, b"tgz", b"tar.gz", ZIP)
QUOTED_MAX = 100

TIME_END = 8**11
"""The first time that a tar header has no room for."""


class ArchiveRefused(Refused):
    """The client may not have this, or it does not exist."""


def refusal(reason: bytes) -> ArchiveRefused:
    """With git's words for the client."""
    return ArchiveRefused(reason.decode("utf-8", "replace"), wire=reason)


class ArchiveRequest(Record):
    """What the client asks for."""

    format: bytes = TAR
    prefix: bytes = b""
    level: int = -1
    """Of compression, 0 to 9; -1: the usual one."""
    tree: bytes | None = None
    paths: tuple[bytes, ...] = ()
    listing: bool = False
    mtime: int | None = None
    verbose: bool = False


def formats(config: Config) -> list[bytes]:
    """Those that a client may ask for (``tar.<format>.remote``), in git's order."""
    found: list[bytes] = [TAR]
    found += [
        name for name in (b"tgz", b"tar.gz") if config.get_bool(f"tar.{name.decode()}.remote", True)
    ]
    for named in config.subsections("tar"):
        name = named.encode("utf-8", "surrogateescape")
        if (
            name not in BUILT_IN
            and command(config, name) is not None
            and config.get_bool(f"tar.{named}.remote")
        ):
            found.append(name)
    return [*found, ZIP]


def command(config: Config, name: bytes) -> str | None:
    """``tar.<format>.command``: what the tar is piped through, unless that is ours to do."""
    value = config.get(f"tar.{name.decode('utf-8', 'surrogateescape')}.command")
    return None if value in (None, "git archive gzip") else value


def parse(arguments: Sequence[bytes], config: Config) -> ArchiveRequest:
    """Raises :class:`ArchiveRefused`."""
    found: dict[str, object] = {}
    plain: list[bytes] = []
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition(b"=")
        if not word.startswith(b"-") or word == b"-":
            plain.append(word)
        elif word in (b"--", b"--end-of-options"):
            plain += words
        elif name in (b"--format", b"--prefix", b"--mtime"):
            found[name[2:].decode()] = value if equals else next(words, b"")
        elif len(word) == 2 and word[1:].isdigit():
            found["level"] = int(word[1:])
        elif word in (b"-l", b"--list"):
            found["listing"] = True
        elif word in (b"-v", b"--verbose"):
            found["verbose"] = True
        elif word not in (b"--worktree-attributes", b"--no-verbose"):
            # --output and --add-file among them, whose files would be the server's
            raise refusal(b"unknown option '%b'" % name[:QUOTED_MAX])
    if "mtime" in found:
        value = bytes(found["mtime"])  # type: ignore[call-overload]
        if not value.isdigit() or len(value) > 11 or int(value) >= TIME_END:
            raise refusal(b"a time in seconds is expected")
        found["mtime"] = int(value)
    asked = found.get("format", TAR)
    if asked not in formats(config):
        shown = bytes(asked)[:QUOTED_MAX]  # type: ignore[call-overload]
        raise refusal(b"Unknown archive format '%b'" % shown)
    if plain and "listing" in found:
        raise refusal(b"extra command line parameter '%b'" % plain[0][:QUOTED_MAX])
    if plain:
        found["tree"] = plain[0]
        found["paths"] = tuple(plain[1:])
    return ArchiveRequest(**found)  # type: ignore[arg-type]
