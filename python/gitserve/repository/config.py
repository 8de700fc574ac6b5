"""What a repository is configured to do: all levels of Git configuration as one value.

In: the configuration files of system, user, repository and worktree, and the environment
(``GIT_CONFIG_COUNT``, ``GIT_CONFIG_PARAMETERS``, ``GIT_CONFIG_GLOBAL``, ``GIT_CONFIG_SYSTEM``,
``GIT_CONFIG_NOSYSTEM``). Out: :class:`Config`, immutable, with typed getters that name file and
line when a value is wrong. Implements git-config(1): FILES, ENVIRONMENT, Includes, Values. Must
not know what the keys mean; the services do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from gitserve.errors import RepositoryError
from gitserve.record import TYPE_CHECKING
from gitserve.repository.configcondition import is_remote_url, matches_git_dir, wildmatch
from gitserve.repository.configenv import command_entries
from gitserve.repository.configsyntax import ConfigSyntaxError, Entry, parse
from gitserve.repository.files import Witness
from gitserve.repository.heads import IN_TABLES, symbolic_head, tables_list

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

MAX_INCLUDE_DEPTH = 10
"""Git's own limit; it ends files that include each other."""

_BY_REMOTE = "includeif.hasconfig:remote.*.url:"

_TRUE = frozenset(("true", "yes", "on"))
_FALSE = frozenset(("false", "no", "off", ""))
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_INT64 = 1 << 63


class ConfigError(RepositoryError):
    """A file that is no configuration, or a value that is not of its key's type."""


Origin = tuple[str, str | None, str, int]
"""Key, value, file (or the environment variable), line."""


class Config:
    """The settings of all levels, later ones first in rank. Keys: ``section.subsection.name``.

    Section and name are lower case; the subsection keeps its case.
    """

    __slots__ = ("_derived", "_entries", "_merged", "_values")

    def __init__(self, entries: Iterable[Origin] = ()) -> None:
        self._values: dict[str, list[Origin]] = {}
        self._merged: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Answers of :meth:`get_merged`; what is in here never changes."""
        self._derived: dict[Callable[[Config], object], object] = {}
        self._entries = tuple(entries)
        for origin in self._entries:
            self._values.setdefault(origin[0], []).append(origin)

    def get(self, key: str) -> str | None:
        """The last value; None when it is unset (or valueless, which is for booleans only)."""
        found = self._values.get(key)
        return found[-1][1] if found else None

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get_all(self, key: str) -> list[str]:
        """Every value, lowest level first. Raises ConfigError for a valueless key."""
        return [_string(origin) for origin in self._values.get(key, ())]

    def get_merged(self, *keys: str) -> tuple[str, ...]:
        """The values of several keys, in the order in which they were read."""
        found = self._merged.get(keys)
        if found is None:
            found = tuple(_string(origin) for origin in self._entries if origin[0] in keys)
            self._merged[keys] = found
        return found

    def derived(self, make: Callable[[Config], T]) -> T:
        """What ``make`` makes of this configuration, made once.

        ``make`` is a function or class of a module, and depends on nothing but the configuration.
        """
        try:
            return self._derived[make]  # type: ignore[return-value]
        except KeyError:
            made = self._derived[make] = make(self)
            return made

    def get_bool(self, key: str, default: bool = False) -> bool:
        """true/yes/on/nonzero, false/no/off/empty/0; a valueless key is true."""
        found = self._values.get(key)
        if not found:
            return default
        value = found[-1][1]
        if value is None:
            return True
        lowered = value.lower()
        if lowered in _TRUE:
            return True
        if lowered in _FALSE:
            return False
        number = parse_int(value)
        if number is None:
            raise _wrong("boolean", found[-1])
        return number != 0

    def get_optional_bool(self, key: str) -> bool | None:
        """As :meth:`get_bool`, None when unset."""
        return self.get_bool(key) if key in self._values else None

    def get_int(self, key: str, default: int = 0) -> int:
        """A decimal, hexadecimal or octal number of 64 bits; k, m and g multiply by 1024."""
        found = self._values.get(key)
        if not found:
            return default
        number = parse_int(found[-1][1] or "")
        if number is None:
            raise _wrong("numeric", found[-1])
        return number

    def get_path(self, key: str) -> str | None:
        """A path; ``~/`` and ``~user/`` are expanded."""
        found = self._values.get(key)
        if not found:
            return None
        return os.path.expanduser(_string(found[-1]))

    def origin(self, key: str) -> str:
        """Where the last value stands, for messages: ``in file X at line N``."""
        found = self._values.get(key)
        return _place(found[-1]) if found else "by default"

    def section(self, section: str) -> list[tuple[str, str | None]]:
        """Every key below a section with its value that counts, in order of appearance."""
        prefix = section + "."
        return [
            (key, found[-1][1]) for key, found in self._values.items() if key.startswith(prefix)
        ]

    def names(self, section: str) -> list[str]:
        """The variables that are set directly in a section."""
        prefix = section + "."
        return [
            key[len(prefix) :]
            for key in self._values
            if key.startswith(prefix) and "." not in key[len(prefix) :]
        ]

    def subsections(self, section: str) -> list[str]:
        """The subsections of a section that have any variable, in order of appearance."""
        prefix = section + "."
        names = (
            key[len(prefix) :].rpartition(".")[0] for key in self._values if key.startswith(prefix)
        )
        return list(dict.fromkeys(name for name in names if name))


class ConfigFiles:
    """The configuration of one repository (or of none), read again only when a file changed."""

    __slots__ = (
        "_common_dir",
        "_config",
        "_environ",
        "_git_dir",
        "_local",
        "_witness",
        "_worktree",
    )

    def __init__(
        self,
        *,
        common_dir: str | None = None,
        git_dir: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._common_dir = common_dir
        self._git_dir = git_dir or common_dir
        self._local = None if common_dir is None else os.path.join(common_dir, "config")
        self._worktree = (
            None if self._git_dir is None else os.path.join(self._git_dir, "config.worktree")
        )
        self._config: Config | None = None
        self._witness = Witness()

    def current(self) -> Config:
        """Costs a ``stat`` a file while nothing changed. Raises :class:`ConfigError`."""
        config = self._config
        if config is not None and self._witness.stands():
            return config
        witness = Witness()
        config = Config(self._read(witness))
        self._witness, self._config = witness, config
        return config

    def _read(self, witness: Witness) -> list[Origin]:
        entries = self._read_levels(witness, None)
        if any(key.startswith(_BY_REMOTE) for key, *_ in entries):
            urls = [value for key, value, *_ in entries if value is not None and is_remote_url(key)]
            entries = self._read_levels(witness, urls)
        return entries

    def _read_levels(self, witness: Witness, urls: Sequence[str] | None) -> list[Origin]:
        """``urls``: of all remotes; None: of none, so that files which depend on them are not read,
        because those cannot name any."""
        found: list[Origin] = []
        levels = _protected_files(self._environ)
        if self._local is not None:
            levels.append(self._local)
        for path in levels:
            self._read_file(path, witness, found, 0, urls)
        if self._worktree is not None and Config(found).get_bool("extensions.worktreeconfig"):
            self._read_file(self._worktree, witness, found, 0, urls)
        found.extend(_command_line(self._environ))
        return found

    def _read_file(
        self,
        path: str,
        witness: Witness,
        found: list[Origin],
        depth: int,
        urls: Sequence[str] | None,
        may_name_remotes: bool = True,
    ) -> None:
        entries = _entries(path, witness)
        for key, value, line in entries:
            if not may_name_remotes and is_remote_url(key):
                raise ConfigError(
                    "remote URLs cannot be configured in file directly or indirectly included by "
                    f"includeIf.hasconfig:remote.*.url: '{key}' in file {path} at line {line}"
                )
            found.append((key, value, path, line))
            if not key.startswith("include") or not key.endswith(".path"):
                continue
            if value is None:
                raise ConfigError(f"missing value for '{key}' in file {path} at line {line}")
            condition = key[len("includeif.") : -len(".path")]
            if key == "include.path" or (
                key.startswith("includeif.") and self._holds(condition, path, witness, urls)
            ):
                if depth >= MAX_INCLUDE_DEPTH:
                    raise ConfigError(
                        f"exceeded maximum include depth ({MAX_INCLUDE_DEPTH}) while including "
                        f"{value} from {path}: this might be due to circular includes"
                    )
                target = os.path.join(os.path.dirname(path), os.path.expanduser(value))
                stays = may_name_remotes and not key.startswith(_BY_REMOTE)
                self._read_file(target, witness, found, depth + 1, urls, stays)

    def _holds(
        self, condition: str, path: str, witness: Witness, urls: Sequence[str] | None
    ) -> bool:
        """``gitdir:``, ``gitdir/i:``, ``onbranch:`` and ``hasconfig:remote.*.url:``; other
        conditions never hold."""
        kind, _, pattern = condition.partition(":")
        if kind == "hasconfig":
            pattern = condition.removeprefix("hasconfig:remote.*.url:")
            return pattern != condition and any(wildmatch(url, pattern) for url in urls or ())
        if self._git_dir is None:
            return False
        if kind in ("gitdir", "gitdir/i"):
            return matches_git_dir(self._git_dir, pattern, path, fold=kind == "gitdir/i")
        if kind == "onbranch":
            head = witness.read(os.path.join(self._git_dir, "HEAD")) or b""
            if head.strip() == b"ref: " + IN_TABLES:
                witness.read(tables_list(self._git_dir))
                target = symbolic_head(self._git_dir, self._common_dir or self._git_dir)
                head = b"ref: %b" % (target or b"")
            branch = os.fsdecode(head.strip())
            if pattern.endswith("/"):
                pattern += "**"
            prefix = "ref: refs/heads/"
            return branch.startswith(prefix) and wildmatch(branch[len(prefix) :], pattern)
        return False


def _protected_files(environ: Mapping[str, str]) -> list[str]:
    """The files of the system and of the user, which the owner of a repository cannot write."""
    paths: list[str] = []
    if not Config(
        [("x", environ.get("GIT_CONFIG_NOSYSTEM", "0"), "GIT_CONFIG_NOSYSTEM", 0)]
    ).get_bool("x"):
        paths.append(environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig"))
    if "GIT_CONFIG_GLOBAL" in environ:
        paths.append(environ["GIT_CONFIG_GLOBAL"])
        return paths
    home = environ.get("HOME")
    xdg = environ.get("XDG_CONFIG_HOME") or (home and os.path.join(home, ".config"))
    if xdg:
        paths.append(os.path.join(xdg, "git", "config"))
    if home:
        paths.append(os.path.join(home, ".gitconfig"))
    return paths


def _entries(path: str, witness: Witness) -> Sequence[Entry]:
    data = witness.read(path)
    if data is None:
        return ()
    try:
        return parse(os.fsdecode(data))
    except ConfigSyntaxError as error:
        raise ConfigError(f"bad config line {error.line} in file {path}") from None


def _command_line(environ: Mapping[str, str]) -> list[Origin]:
    try:
        return [(key, value, "the environment", 0) for key, value in command_entries(environ)]
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _string(origin: Origin) -> str:
    if origin[1] is None:
        raise ConfigError(f"missing value for '{origin[0]}' {_place(origin)}")
    return origin[1]


def _place(origin: Origin) -> str:
    return f"in file {origin[2]} at line {origin[3]}" if origin[3] else "from command-line config"


def _wrong(kind: str, origin: Origin) -> ConfigError:
    key, value = origin[:2]
    return ConfigError(f"bad {kind} config value '{value}' for '{key}' {_place(origin)}")


def parse_int(value: str) -> int | None:
    digits = value.strip()
    factor = _UNITS.get(digits[-1:].lower(), 1)
    if factor != 1:
        digits = digits[:-1]
    if len(digits) > 24 or "_" in digits:
        return None
    try:
        if digits.lstrip("+-").startswith("0") and digits.lstrip("+-").isdigit():
            number = int(digits, 8) * factor
        else:
            number = int(digits, 0) * factor
    except ValueError:
        return None
    return number if -_INT64 <= number < _INT64 else None
