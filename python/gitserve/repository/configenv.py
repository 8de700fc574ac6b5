"""Configuration that comes with the environment: what ``git -c key=value`` hands on.

In: environment variables. Out: ``(key, value)`` in order. Implements ``GIT_CONFIG_COUNT``,
``GIT_CONFIG_KEY_<n>`` and ``GIT_CONFIG_VALUE_<n>`` of git-config(1), and both forms in which git
writes ``GIT_CONFIG_PARAMETERS``: ``'key=value'`` and ``'key'='value'``.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_PAIRS = 10_000
"""More than anybody writes; ends a loop that a wrong count would start."""


def command_entries(environ: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """The pairs of both mechanisms; ``GIT_CONFIG_PARAMETERS`` (from ``-c``) wins by coming last.

    Raises ValueError with git's kind of words.
    """
    found: list[tuple[str, str | None]] = []
    count = environ.get("GIT_CONFIG_COUNT")
    if count:
        if not count.isdecimal():
            raise ValueError("bogus count in GIT_CONFIG_COUNT")
        if int(count) > MAX_PAIRS:
            raise ValueError("too many entries in GIT_CONFIG_COUNT")
        for number in range(int(count)):
            key = environ.get(f"GIT_CONFIG_KEY_{number}")
            if key is None:
                raise ValueError(f"missing config key GIT_CONFIG_KEY_{number}")
            value = environ.get(f"GIT_CONFIG_VALUE_{number}")
            if value is None:
                raise ValueError(f"missing config value GIT_CONFIG_VALUE_{number}")
            found.append((canonical_key(key), value))
    parameters = environ.get("GIT_CONFIG_PARAMETERS")
    if parameters:
        found.extend(_parameters(parameters))
    return found


def canonical_key(key: str) -> str:
    """Section and name in lower case. Raises ValueError unless both are there."""
    section, _, rest = key.partition(".")
    subsection, dot, name = rest.rpartition(".")
    if not section or not name or not name[0].isalpha():
        raise ValueError(f"invalid key: {key}")
    return f"{section.lower()}.{subsection}{dot}{name.lower()}"


def _parameters(text: str) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        word, at = _unquote(text, at)
        value: str | None
        if text[at : at + 1] == "=":
            key = word
            at += 1
            # 'key'= without a value is how a valueless key travels
            if text[at : at + 1] in ("", " "):
                value = None
            else:
                value, at = _unquote(text, at)
        else:
            key, equals, old = word.partition("=")
            value = old if equals else None
        found.append((canonical_key(key), value))
    return found


def _unquote(text: str, at: int) -> tuple[str, int]:
    """One single-quoted shell word, ``'\\''`` and ``'\\!'`` within it, and where it ends."""
    if text[at : at + 1] != "'":
        raise ValueError("bogus format in GIT_CONFIG_PARAMETERS")
    out: list[str] = []
    while True:
        end = text.find("'", at + 1)
        if end < 0:
            raise ValueError("bogus format in GIT_CONFIG_PARAMETERS")
        out.append(text[at + 1 : end])
        if text[end + 1 : end + 2] == "\\" and text[end + 3 : end + 4] == "'":
            out.append(text[end + 2])
            at = end + 3
        else:
            return "".join(out), end + 1
