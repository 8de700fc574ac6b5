"""Who writes the reflog: the committer, as git finds one.

In: environment and configuration. Out: ``Name <email> seconds zone``. Follows git-commit(1),
"COMMIT INFORMATION": ``GIT_COMMITTER_*``, ``committer.*``, ``user.*``, else the account. A server
never fails for want of a name.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from gitserve.repository.config import Config

_CRUD = " .,:;<>\"\\'" + "".join(map(chr, range(32)))


def committer(config: Config, environ: Mapping[str, str] | None = None) -> bytes:
    """The identity line for this moment."""
    env = os.environ if environ is None else environ
    name = env.get("GIT_COMMITTER_NAME") or config.get("committer.name") or config.get("user.name")
    email = (
        env.get("GIT_COMMITTER_EMAIL")
        or config.get("committer.email")
        or config.get("user.email")
        or env.get("EMAIL")
    )
    if not name or not email:
        account, login = _account()
        name = name or account
        email = email or f"{login}@{os.uname().nodename}"
    now = int(time.time())
    return os.fsencode(f"{_clean(name)} <{_clean(email)}> {now} {_zone(now)}")


_accounts: dict[int, tuple[str, str]] = {}
"""By user: looking one up reads files, or asks another machine."""


def _account() -> tuple[str, str]:
    user = os.geteuid()
    known = _accounts.get(user)
    if known is None:
        known = _accounts[user] = _looked_up(user)
    return known


def _looked_up(user: int) -> tuple[str, str]:
    import pwd  # not at the top: hardly any server gets here

    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        return "unknown", "unknown"
    return entry.pw_gecos.partition(",")[0] or entry.pw_name, entry.pw_name


def _clean(text: str) -> str:
    """Without what would break the line that it stands in."""
    kept = "".join(char for char in text if char not in "<>\n\0")
    return kept.strip(_CRUD)


def _zone(now: int) -> str:
    seconds = time.localtime(now).tm_gmtoff
    sign, minutes = ("-", -seconds // 60) if seconds < 0 else ("+", seconds // 60)
    return f"{sign}{minutes // 60:02d}{minutes % 60:02d}"
