"""Contents of archives as ``git archive`` converts them: ends of lines, encodings, filters.

Many folders, each with attributes and files by chance; one archive tells of all.
"""

from __future__ import annotations

import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import Programs

WORDS = """
text -text !text text=auto text=input text=odd eol=lf eol=crlf -eol crlf -crlf crlf=input crlf=auto
ident -ident !ident ident=true export-subst working-tree-encoding=UTF-16 !working-tree-encoding
working-tree-encoding=UTF-16LE-BOM working-tree-encoding=ISO-8859-1 working-tree-encoding=utf8
working-tree-encoding=UTF-32BE working-tree-encoding=SHIFT-JIS working-tree-encoding=UTF-16LE
working-tree-encoding=nothing-such working-tree-encoding= diff -diff !diff diff=is diff=auto
diff=not diff=odd binary -binary !binary mac -mac
filter=up filter=fails filter=none filter=twice -filter
""".split()

PATTERNS = ["*", "*", "*.txt", "a*", "/a.txt", "b.*", '"a.t\\170t"', "[ab].*", "*.[[:alpha:]]in"]

PARTS = [
    "line\n", "line\r\n", "\r", "\n", "$Id$", "$Id: abc $", "$Id: a b c $", "$Id:$", "$Id: x",
    "$Idx$", "$Id:x\n$", "\0", "é", "日本", "\x07", "\x1a", "text " * 20, "$Format:%h$", "$",
    "\x1b\f\b", "\x7f",
]  # fmt: skip

SETTINGS: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "autocrlf": [("core.autocrlf", "true"), ("core.eol", "lf")],
    "input": [("core.autocrlf", "input")],
    "eol": [("core.eol", "crlf"), ("diff.default.binary", "true")],
    "drivers": [
        ("filter.up.smudge", "tr a-z A-Z; echo %f"),
        ("filter.fails.smudge", "cat; exit 3"),
        ("filter.twice.smudge", "tee /dev/stderr | cat - %f 2>/dev/null"),
        ("filter.none.clean", "cat"),
        ("diff.is.binary", "true"),
        ("diff.auto.binary", "auto"),
        ("diff.not.binary", "false"),
    ],
    "big": [("core.bigFileThreshold", "60")],
}


@pytest.fixture(scope="module")
def repository(base: Path, newest_git: Git) -> Path:
    """Files as they are in the index: nothing is converted on its way in."""
    dice = random.Random(11)
    repository = base / "converted.git"
    newest_git.run("init", "-q", "--bare", "-b", "main", repository)

    def attributes() -> str:
        lines = [
            f"{dice.choice(PATTERNS)} {' '.join(dice.sample(WORDS, dice.choice([1, 1, 2, 3])))}"
            for _ in range(dice.randrange(1, 5))
        ]
        return dice.choice(["\n", "\n", "\r\n"]).join([*lines, ""])

    def content() -> str:
        pool = dice.sample(PARTS, dice.randrange(1, 5)) if dice.random() < 0.7 else PARTS
        return "".join(dice.choices(pool, k=dice.choice([0, 1, 3, 8, 30])))

    files = {".gitattributes": "[attr]mac ident eol=crlf\n[attr]binary -diff -text\n"}
    for n in range(120):
        files[f"{n}/.gitattributes"] = attributes()
        files |= {f"{n}/{name}": content() for name in ("a.txt", "b.bin", "c")}
    files["large/.gitattributes"] = "*.txt text eol=crlf\n*.enc working-tree-encoding=UTF-16\n"
    files["large/a.txt"] = "é line\r\nline\n" * 400_000  # not held whole
    files["large/b.enc"] = "é line\n" * 600_000
    stream = ["commit refs/heads/main\ncommitter C <c@d> 1600000000 +0000\ndata 2\nx\n"]
    for path, text in files.items():
        stream.append(f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n")
    stream.append("M 120000 inline link\ndata 6\na\nb\nc\n\n")
    stream.append(
        "M 100644 inline broken/.gitattributes\ndata 31\n* working-tree-encoding=UTF-16\n\n"
    )
    whole = "".join(stream).encode() + b"M 100644 inline broken/x\ndata 3\na\xff\n\n"
    newest_git.run("fast-import", "--quiet", cwd=repository, stdin=whole)
    newest_git.run("config", "include.path", "chosen", cwd=repository)
    (repository / "info").mkdir(exist_ok=True)
    (repository / "info/attributes").write_text("7/* text eol=crlf\n8/a.txt -mac -filter\n")
    return repository


def members(form: str, archive: bytes) -> dict[str, object]:
    """What differs is easier to read so."""
    if form == "tar":
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            return {
                one.name: one.isfile() and (tar.extractfile(one) or io.BytesIO()).read()
                for one in tar.getmembers()
            }
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {one.filename: (one.internal_attr, file.read(one)) for one in file.infolist()}


@pytest.mark.parametrize("form", ["tar", "zip"])
@pytest.mark.parametrize("chosen", SETTINGS)
def test_the_same_bytes(
    git: Git, programs: Programs, repository: Path, chosen: str, form: str
) -> None:
    command = programs.upload_pack.replace("upload-pack", "upload-archive")
    (repository / "chosen").write_text("")
    for key, value in SETTINGS[chosen]:
        git.run("config", "--file", "chosen", key, value, cwd=repository)
    words = (f"--format={form}", "main")
    theirs = git.run("archive", *words, cwd=repository).stdout
    ours = git.run("archive", f"--remote={repository}", f"--exec={command}", *words).stdout
    if ours != theirs:
        mine, gits = members(form, ours), members(form, theirs)
        assert {n: mine.get(n) for n in gits if mine.get(n) != gits[n]} == {
            n: gits[n] for n in gits if mine.get(n) != gits[n]
        }
    assert ours == theirs


def archived(git: Git, programs: Programs, repository: Path) -> tuple[int, bytes, bytes]:
    command = programs.upload_pack.replace("upload-pack", "upload-archive")
    done = git.run("archive", f"--remote={repository}", f"--exec={command}", "main", check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_filter_that_must_not_fail(newest_git: Git, programs: Programs, served: Path) -> None:
    repository = served / "filtered"
    newest_git.run("init", "-q", "-b", "main", repository)
    (repository / ".gitattributes").write_text("x filter=must\n")
    (repository / "x").write_text("content\n")
    newest_git.run("add", ".", cwd=repository)
    newest_git.run("commit", "-qm", "x", cwd=repository)
    newest_git.run("config", "filter.must.required", "true", cwd=repository)
    newest_git.run("config", "filter.must.smudge", "exit 1", cwd=repository)
    status, _, said = archived(newest_git, programs, repository)
    assert status != 0
    assert b"x: smudge filter must failed" in said
    newest_git.run("config", "filter.must.smudge", "echo seen >&2; cat", cwd=repository)
    status, ours, said = archived(newest_git, programs, repository)
    assert (status, ours) == (0, newest_git.run("archive", "main", cwd=repository).stdout)
    assert b"seen" in said  # and not in the archive


def test_true_is_no_encoding(newest_git: Git, programs: Programs, served: Path) -> None:
    repository = served / "encoded"
    newest_git.run("init", "-q", "-b", "main", repository)
    text = b"x working-tree-encoding\n"
    made = newest_git.run(
        "hash-object", "-w", "--stdin", cwd=repository, stdin=text
    ).stdout.decode()
    for path in (".gitattributes", "x"):
        entry = f"100644,{made.strip()},{path}"
        newest_git.run("update-index", "--add", "--cacheinfo", entry, cwd=repository)
    newest_git.run("commit", "-qm", "x", cwd=repository)
    assert newest_git.run("archive", "main", cwd=repository, check=False).returncode != 0
    status, _, said = archived(newest_git, programs, repository)
    assert status != 0
    assert b"true/false are no valid working-tree-encodings" in said


def test_attributes_of_the_user(
    newest_git: Git, programs: Programs, served: Path, tmp_path: Path
) -> None:
    repository = served / "user"
    newest_git.run("init", "-q", "-b", "main", repository)
    (repository / "x").write_text("content\n")
    (repository / "y").write_text("content\n")
    (repository / ".gitattributes").write_text("y -mine\n")
    newest_git.run("add", ".", cwd=repository)
    newest_git.run("commit", "-qm", "x", cwd=repository)
    (tmp_path / "attributes").write_text("[attr]mine text eol=crlf\n* mine")
    newest_git.run("config", "core.attributesFile", tmp_path / "attributes", cwd=repository)
    status, ours, said = archived(newest_git, programs, repository)
    assert status == 0, said
    assert ours == newest_git.run("archive", "main", cwd=repository).stdout
    assert b"content\r\n" in ours
