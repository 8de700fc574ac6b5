"""What ``.gitattributes`` say of paths, for us and for ``git check-attr``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from gitserve.archiving.attributes import Attributes, parse

from tests.support.gits import Git

PIECES = [
    "a", "b", "A", "1", ".", "-", " ", "/", "/", "*", "*", "**", "**/", "/**", "?", "[ab]", "[!a]",
    "[^b]", "[a-c]", "[]a]", "[!]a]", "[a-]", "[-a]", "[b-a]", "[[:alpha:]]",
    "[[:digit:][:space:]]",
    "[[:nix:]]", "[\\]]", "[a", "\\*", "\\a", "\\", "é", "{a}", "(a|b)", "a+", "$", "^",
]  # fmt: skip
PATHS = [
    "a", "b", "ab", "ba", "A", "1", "-", "a b", "*", "]", "[a", "a/b", "a/b/a", "b/a/b/a",
    "a/ab", "ab/a", "é", "é/a", "{a}", "(a|b)", "a+", "$", "^", "a.b", "a-b", "aa", "aaa",
    "a/a/a/a",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_patterns(git: Git, tmp_path: Path, seed: int) -> None:
    """Each line has an attribute of its own."""
    git.run("init", "-q", tmp_path)
    dice = random.Random(seed)
    patterns = ["".join(dice.choices(PIECES, k=dice.randrange(1, 6))) for _ in range(700)]
    shown = [f'"{p}"' if " " in p and '"' not in p and "\\" not in p else p for p in patterns]
    text = "".join(f"{pattern} x{n}\n" for n, pattern in enumerate(shown) if pattern.strip())
    (tmp_path / ".gitattributes").write_text(text)
    said = git.run(
        "-c", "core.quotePath=false", "check-attr", "-z", "--stdin", "-a",
        cwd=tmp_path, stdin=b"".join(path.encode() + b"\0" for path in PATHS),
    ).stdout.split(b"\0")  # fmt: skip
    theirs: dict[bytes, set[bytes]] = {path.encode(): set() for path in PATHS}
    for path, name, _ in zip(said[::3], said[1::3], said[2::3], strict=False):
        theirs[path].add(name)
    rules = Attributes().below(text.encode(), b"")
    for path, names in theirs.items():
        ours = set(rules.of(path, is_folder=False))
        wrong = {(name, shown[int(name[1:])]) for name in ours ^ names}
        assert not wrong, (path, wrong)


LINES = """
[attr]mac one -two three=3
[attr]deep mac four
[attr]round round2
[attr]round2 round
a mac
a !two
b deep
b -mac
c binary
c !text
d -one one=1
d one=
e round
"quoted a" one
"quoted\\x a" one
"a\\142c" two=x
bad!name one
ok -bad!name
!negated one
  indented one
[attr]bad!name one
[attr] one
# comment one
name= one
=value one
-dash one
f -- one
g one two -one !two
h/ one
i/* one two=2
""".strip()


def test_lines(git: Git, tmp_path: Path) -> None:
    """Macros, what lifts what, quotes, and lines that say nothing."""
    git.run("init", "-q", tmp_path)
    (tmp_path / ".gitattributes").write_text(LINES)
    (tmp_path / ".git/info").mkdir(exist_ok=True)
    (tmp_path / ".git/info/attributes").write_text("j one\n[attr]mac one=info\nk mac\n")
    (tmp_path / "i").mkdir()
    (tmp_path / "i/.gitattributes").write_text("[attr]mac five\nx mac\ny -one !two\n/z one=z\n")
    paths = "a b c d e f g h j k indented negated ok i/x i/y i/z abc =value name= -dash".split()
    paths += ["quoted a", "quotedx a", "[attr]"]
    names = "one two three four five text diff merge binary mac deep round round2 ok".split()
    said = git.run(
        "check-attr", "-z", "--stdin", *names, "--",
        cwd=tmp_path, stdin=b"".join(path.encode() + b"\0" for path in paths), check=False,
    ).stdout.split(b"\0")  # fmt: skip
    theirs = {
        (path, name): value
        for path, name, value in zip(said[::3], said[1::3], said[2::3], strict=False)
    }
    last = parse((tmp_path / ".git/info/attributes").read_bytes())
    root = Attributes(last=last).below(LINES.encode(), b"")
    below = root.below((tmp_path / "i/.gitattributes").read_bytes(), b"i/")
    for (path, name), value in theirs.items():
        ours = (below if path.startswith(b"i/") else root).of(path, is_folder=False).get(name)
        words = {True: b"set", False: b"unset", None: b"unspecified"}
        assert (ours if isinstance(ours, bytes) else words[ours]) == value, (path, name)
    assert len(theirs) == len(paths) * len(names)
