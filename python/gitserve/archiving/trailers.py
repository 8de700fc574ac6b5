"""The trailers of a message: ``Signed-off-by: ...`` and the like.

In: a message, options of ``%(trailers:...)``. Out: lines. Git's documents:
git-interpret-trailers(1), git-log(1).
"""

from __future__ import annotations

from gitserve.archiving.escapes import unescaped
from gitserve.record import Record

_GENERATED = (b"Signed-off-by: ", b"(cherry picked from commit ")


class Trailer(Record):
    """One of them; a line that is none has no key."""

    key: bytes | None
    value: bytes
    raw: bytes


class _Options(Record):
    keys: tuple[bytes, ...] = ()
    only: bool = False
    unfold: bool = False
    key_only: bool = False
    value_only: bool = False
    separator: bytes = b"\n"
    separated: bool = False
    between: bytes | None = None


def shown_trailers(message: bytes, options: bytes) -> bytes | None:
    """None for options that are none."""
    chosen = _options(options)
    if chosen is None:
        return None
    block = _block(message)
    if not (chosen.only or chosen.unfold or chosen.separated or chosen.keys or chosen.key_only
            or chosen.value_only or chosen.between is not None):  # fmt: skip
        return b"".join(block)
    shown: list[bytes] = []
    for trailer in _trailers(block):
        if trailer.key is None:
            if not chosen.only:
                shown.append(trailer.raw.rstrip(b"\n"))
            continue
        if chosen.keys and trailer.key.lower() not in chosen.keys:
            continue
        value = trailer.value
        if chosen.unfold:
            value = b" ".join(map(bytes.strip, value.split(b"\n")))
        if chosen.value_only and not chosen.key_only:
            shown.append(value)
        elif chosen.key_only:
            shown.append(trailer.key)
        else:
            between = b": " if chosen.between is None else chosen.between
            shown.append(trailer.key + between + value)
    if chosen.separated:
        return chosen.separator.join(shown)
    return b"".join([line + b"\n" for line in shown])


def _options(text: bytes) -> _Options | None:
    found: dict[str, object] = {}
    keys: list[bytes] = []
    switches = {b"only": "only", b"unfold": "unfold", b"keyonly": "key_only",
                b"valueonly": "value_only"}  # fmt: skip
    for word in text.split(b",") if text else ():
        name, equals, value = word.partition(b"=")
        if name == b"key" and equals:
            keys.append(value.removesuffix(b":").lower())
            found.setdefault("only", True)
        elif name == b"separator" and equals:
            found["separator"], found["separated"] = unescaped(value), True
        elif name == b"key_value_separator" and equals:
            found["between"] = unescaped(value)
        elif name in switches:
            if equals and value.lower() not in (b"true", b"false", b"yes", b"no", b"on", b"off"):
                return None
            found[switches[name]] = not equals or value.lower() in (b"true", b"yes", b"on")
        else:
            return None
    return _Options(keys=tuple(keys), **found)  # type: ignore[arg-type]


def _block(message: bytes) -> list[bytes]:
    """The lines of the last paragraph, if it is one of trailers."""
    lines = message.splitlines(keepends=True)
    while lines and not lines[-1].strip():
        lines.pop()
    start = len(lines)
    while start and lines[start - 1].strip():
        start -= 1
    if not start:  # the subject has none
        return []
    block = lines[start:]
    trailers = others = 0
    generated = in_trailer = False
    for line in block:
        if line.startswith(b"#") or (line.startswith((b" ", b"\t")) and in_trailer):
            continue
        in_trailer = False
        if line.startswith(_GENERATED):
            generated = in_trailer = True
            trailers += 1
        elif _key(line) is not None:
            in_trailer = True
            trailers += 1
        else:
            others += 1
    if (trailers and not others) or (generated and trailers * 3 >= others):
        return block
    return []


def _key(line: bytes) -> bytes | None:
    key, colon, _ = line.partition(b":")
    key = key.rstrip(b" \t")
    if not colon or not key:
        return None
    return key if all(bytes((b,)).isalnum() or b == 0x2D for b in key) else None


def _trailers(block: list[bytes]) -> list[Trailer]:
    found: list[Trailer] = []
    for line in block:
        if line.startswith(b"#"):
            continue
        if line.startswith((b" ", b"\t")) and found and found[-1].key is not None:
            last = found.pop()
            value = last.value + b"\n" + line.rstrip(b"\n")
            found.append(Trailer(last.key, value, last.raw + line))
            continue
        key = _key(line)
        value = line.partition(b":")[2].strip() if key is not None else b""
        found.append(Trailer(key, value, line))
    return found
