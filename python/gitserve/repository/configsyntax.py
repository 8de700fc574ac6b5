"""The text of one Git configuration file, as entries.

In: the text. Out: ``(key, value, line)`` in file order. Implements "CONFIGURATION FILE: Syntax"
of git-config(1): sections, subsections, comments, quoting, escapes, continued lines, valueless
keys. Must not know levels, includes or types; those are :mod:`.config`'s.
"""

from __future__ import annotations

Entry = tuple[str, str | None, int]
"""``section.subsection.name`` (section and name in lower case), value (None: no ``=``), line."""

_SECTION = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")
_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b", "\\": "\\", '"': '"'}
_BLANK = " \t\f\v\r"


class ConfigSyntaxError(ValueError):
    """A line that is no configuration; :attr:`line` counts from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"bad config line {line}")
        self.line = line


def parse(text: str) -> tuple[Entry, ...]:
    """The entries of one file. Raises :class:`ConfigSyntaxError`."""
    return tuple(_Parser(text.removeprefix("\ufeff").replace("\r\n", "\n")).entries())


class _Parser:
    __slots__ = ("at", "line", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        section = ""
        text = self.text
        end = len(text)
        while self.at < end:
            char = text[self.at]
            if char == "\n":
                self.at += 1
                self.line += 1
            elif char in _BLANK:
                self.at += 1
            elif char in "#;":
                self._skip_comment()
            elif char == "[":
                section = self._section()
            elif char.isascii() and char.isalpha():
                found.append(self._variable(section))
            else:
                raise ConfigSyntaxError(self.line)
        return found

    def _skip_comment(self) -> None:
        newline = self.text.find("\n", self.at)
        self.at = len(self.text) if newline < 0 else newline

    def _section(self) -> str:
        """``[section]``, ``[section "subsection"]`` or the old ``[section.subsection]``."""
        text, start = self.text, self.at + 1
        at = start
        while at < len(text) and text[at] in _SECTION:
            at += 1
        section = text[start:at].lower()
        if not section or at >= len(text):
            raise ConfigSyntaxError(self.line)
        if text[at] == "]":
            self.at = at + 1
            return section
        while at < len(text) and text[at] in _BLANK:
            at += 1
        if not text.startswith('"', at):
            raise ConfigSyntaxError(self.line)
        at += 1
        subsection: list[str] = []
        while True:
            char = text[at : at + 1]
            if char == '"':
                break
            if char == "\\":  # only \" and \\ mean something; of others the backslash is dropped
                at += 1
                char = text[at : at + 1]
            if char in ("", "\n", "\0"):
                raise ConfigSyntaxError(self.line)
            subsection.append(char)
            at += 1
        if not text.startswith("]", at + 1):
            raise ConfigSyntaxError(self.line)
        self.at = at + 2
        return f"{section}.{''.join(subsection)}"

    def _variable(self, section: str) -> Entry:
        text, start, line = self.text, self.at, self.line
        at = start
        while at < len(text) and text[at] in _NAME:
            at += 1
        name = text[start:at].lower()
        key = f"{section}.{name}" if section else name  # git takes variables before any section
        while at < len(text) and text[at] in " \t":
            at += 1
        self.at = at
        char = text[at : at + 1]
        if char in ("", "\n"):
            return key, None, line
        if char != "=":
            raise ConfigSyntaxError(line)
        self.at = at + 1
        return key, self._value(), line

    def _value(self) -> str:
        text = self.text
        out: list[str] = []
        kept = 0  # how much of `out` survives the trimming of blanks at the end
        quoted = False
        while True:
            char = text[self.at : self.at + 1]
            self.at += 1
            if char in ("", "\n"):
                if quoted:
                    raise ConfigSyntaxError(self.line)
                if char:
                    self.line += 1
                break
            if char == "\\":
                escaped = text[self.at : self.at + 1]
                self.at += 1
                if escaped == "\n":
                    self.line += 1
                    kept = len(out)  # git trims no blanks before a continuation
                    continue
                if escaped not in _ESCAPES or not escaped:
                    raise ConfigSyntaxError(self.line)
                out.append(_ESCAPES[escaped])
            elif char == '"':
                quoted = not quoted
            elif quoted:
                out.append(char)
            elif char in "#;":
                self.at -= 1
                self._skip_comment()
                break
            elif char in _BLANK:
                if out:
                    out.append(char)
                continue
            else:
                out.append(char)
            kept = len(out)
        return "".join(out[:kept]).partition("\0")[0]  # where a value ends for git, too
