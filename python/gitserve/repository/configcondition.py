"""When a conditional include holds: the patterns of ``includeIf``.

In: a pattern and what it is about. Out: yes or no. Implements "Conditional includes" of
git-config(1).
"""

from __future__ import annotations

import os


def matches_git_dir(git_dir: str, pattern: str, path: str, *, fold: bool) -> bool:
    """The pattern rules of "gitdir" under git-config(1), Conditional includes."""
    if pattern.startswith("./"):
        pattern = os.path.join(os.path.dirname(os.path.realpath(path)), pattern[2:])
    elif pattern.startswith("~"):
        pattern = os.path.expanduser(pattern)
    if not pattern.startswith("/"):
        pattern = "**/" + pattern
    if pattern.endswith("/"):
        pattern += "**"
    for candidate in {os.path.realpath(git_dir), os.path.abspath(git_dir)}:
        if fold:
            candidate, pattern = candidate.lower(), pattern.lower()
        if wildmatch(candidate, pattern):
            return True
    return False


def is_remote_url(key: str) -> bool:
    """What ``hasconfig:remote.*.url`` asks about."""
    return key.startswith("remote.") and key.endswith(".url") and key.count(".") > 1


def wildmatch(path: str, pattern: str) -> bool:
    """Shell patterns where ``*`` stops at slashes and ``**`` does not."""
    return _match_parts(path.split("/"), pattern.split("/"))


def _match_parts(parts: list[str], patterns: list[str]) -> bool:
    from fnmatch import fnmatchcase  # hardly any configuration has such a condition

    # the classic two-row table: no exponential descent on many `**`
    row = [True] + [False] * len(parts)
    for pattern in patterns:
        following = [row[0] and pattern == "**"]
        for index, part in enumerate(parts):
            if pattern == "**":
                following.append(row[index + 1] or following[index])
            else:
                following.append(row[index] and fnmatchcase(part, pattern))
        row = following
    return row[-1]
