"""Colours in formats: none, as there is no terminal, but where they are asked for always.

In: ``C...`` of a placeholder. Out: escape sequences. Git's document: git-config(1), "color".
"""

from __future__ import annotations

_SHORT = (b"Cred", b"Cgreen", b"Cblue", b"Creset")
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_WORDS = {"bold": 1, "dim": 2, "italic": 3, "ul": 4, "blink": 5, "reverse": 7, "strike": 9}


def color(rest: bytes) -> tuple[bytes, int]:
    """The value and the placeholder's length: 0 for what is none."""
    for word in _SHORT:
        if rest.startswith(word):
            return b"", len(word)
    end = rest.find(b")")
    if rest[:2] != b"C(" or end < 0:
        return b"", 0
    words = rest[2:end]
    if not words.startswith(b"always,"):
        return b"", end + 1
    return _escape(words[7:].decode("utf-8", "replace").lower().split()), end + 1


def _escape(words: list[str]) -> bytes:
    attributes: list[int] = []
    colors: list[str] = []
    reset = False
    for word in words:
        off = word.startswith("no")
        plain = word.removeprefix("no").removeprefix("-") if off and word != "normal" else word
        if plain in _WORDS and word != "normal":
            number = _WORDS[plain]
            attributes.append((22 if number < 3 else number + 20) if off else number)
        elif word == "reset":
            reset = True
        else:
            colors.append(word)
    codes = [] if not reset else [""]
    codes += [str(number) for number in sorted(set(attributes))]
    for base, word in zip((30, 40), colors, strict=False):
        code = _code(word, base)
        if code:
            codes.append(code)
    return f"\x1b[{';'.join(codes)}m".encode() if codes else b""


def _code(word: str, base: int) -> str:
    if word in _NAMES:
        return str(base + _NAMES.index(word))
    if word == "default":
        return str(base + 9)
    if word.startswith("bright") and word[6:] in _NAMES:
        return str(base + 60 + _NAMES.index(word[6:]))
    if word.isdigit() and int(word) < 256:
        number = int(word)
        if number < 8:
            return str(base + number)
        return str(base + 60 + number - 8) if number < 16 else f"{base + 8};5;{number}"
    if len(word) == 7 and word[0] == "#":
        try:
            red, green, blue = bytes.fromhex(word[1:])
        except ValueError:
            return ""
        return f"{base + 8};2;{red};{green};{blue}"
    return ""
