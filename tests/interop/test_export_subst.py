"""``export-subst``: placeholders in archived files become what ``git archive`` makes of them."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from tests.support.gits import Git
from tests.support.server import Programs

PLACEHOLDERS = """
H h T t P p an aN ae aE al aL ad aD at ai aI as cn cN ce cE cl cL cd cD ct ci cI cs d D S e s f b B
N GG G? GS GK GF GP GT gD gd gn gN ge gE gs m n % x41 x00 x4 q # a aX x ( Cred Cgreen C(auto)
C(red) Creset C(always,red) C(always,bold #ff0000) C(always,reset) C(
<(20)%an <(5)%an <(5,trunc)%an <(5,ltrunc)%an <(7,mtrunc)%an >(20)%an >>(20)%an ><(20)%an
<|(40)%an >|(40)%an >|(-5)%an >>|(20)%an <(20000)%an <(9,trunc)%s%an <(30,trunc)%B| <(10,)%an
<(10,Trunc)%an <(+10)%an <(5)%%| <(12)%+s| <(3,trunc)%+an <(8,mtrunc)%H|
(trailers) (trailers:only) (trailers:key=Key) (trailers:key=Signed-off-by,valueonly)
(trailers:only,unfold) (trailers:separator=%x2C) (trailers:key_value_separator=%x3D)
(trailers:keyonly) (trailers:only=no) (trailers:bogus) (trailers:separator=|,key=key:)
(decorate) (decorate:prefix=[,suffix=]) (decorate:pointer=>) (decorate:tag=) (decorate:bogus)
<(20)%<(10)%an| <(20)%C(always,red)%an%Creset| >(9,trunc)%<(3)%s| <(5)%C(red)%+an| <(8)%w(3)%s|
w(10)%s w(20,3)%s w(20,3,6)%B w(0,2,4)%B w()%s w(,3)%s w(5,)%s w(20000)%s w(-3)%s w(5,1,2,3)%s
w(x)%s w(8)%an%w(20,2)%s%w() +w(8)%s w(12,1,3)%b%n%n%-b w(12)%x00%s w(12)%C(always,red)%s
w(7)%x09a%x09b%x09c
(nonsense) (describe - + +s -s +b -b +e -e +q -q +d -d
""".split()

FORMATS = [
    *(f"[%{placeholder}]" for placeholder in PLACEHOLDERS),
    "a%n%n%-e|", "% an% e|", "%n%-an", "%", "", "two\nlines %h", "abc      %>>(3)%an", "%(describe",
]  # fmt: skip

MESSAGES = [
    "Subject line\ngoes on\n\nBody text\nover lines.\n\n  indented\n\nKey: v\nSigned-off-by: A\n",
    "\n\n  Leading spaces  \n\n\n\nbody\n\n\n",
    "no end of line",
    "Odd: chars/../here... -- and  spaces.\nSecond line\n",
    "x\n\nSigned-off-by: a\nnot a trailer\nfoo\n",
    "x\n\nKey: value\nother words\n",
    "x\n\nb\n\nKey : value\nKey2:value2\n  folded\nSigned-off-by: q\n\n\n",
    "Only: subject\n",
    "",
    "träiler 日本 wide subject here\n\nb\n---\nKey: v\n",
    "a\n \nb\n\t\nc\n",
    "s\n\nKey: v\nkey: \nEmpty:\n",
    "s\n\n# comment\nKey: v\n",
]


def ours(git: Git, programs: Programs, repository: Path, *words: str) -> bytes:
    command = programs.upload_pack.replace("upload-pack", "upload-archive")
    flags = (f"--remote={repository}", f"--exec={command}")
    return git.run("archive", *flags, *words).stdout


def commit(git: Git, repository: Path, message: str, date: int, *parents: str) -> str:
    flags = [word for parent in parents for word in ("-p", parent)]
    when = f"{1600000000 + date} +0130"
    done = git.run(
        "commit-tree", *flags, "HEAD^{tree}", cwd=repository, stdin=message.encode(),
        env={"GIT_COMMITTER_DATE": when, "GIT_AUTHOR_DATE": when},
    )  # fmt: skip
    return done.stdout.decode().strip()


@pytest.fixture
def repository(served: Path, newest_git: Git) -> Path:
    """Every format in a file of its own."""
    work = served / "work"
    newest_git.run("init", "-q", work)
    (work / ".gitattributes").write_text("* export-subst\nplain -export-subst\n")
    (work / ".mailmap").write_text("#\nProper Name <proper@example.org> <TESTER@example.org>\n")
    for n, text in enumerate(FORMATS):
        (work / f"f{n:03}").write_text(f"line\n  before $Format:{text}$ after\n")
    (work / "several").write_text("$Format:%H$$Format:%h$ $Format$ $Format:$ $ $Format:%h")
    (work / "binary").write_bytes(b"x\0$Format:%H$")
    (work / "plain").write_bytes(b"$Format:%H$")
    (work / "link").symlink_to("$Format:%H$")
    newest_git.run("add", ".", cwd=work)
    newest_git.run("commit", "-qm", "first", cwd=work)
    for name in ("v1", "v0.9", "other"):
        newest_git.run("tag", "-m", "x", *(["-a"] if name != "v1" else []), name, cwd=work)
    newest_git.run("update-ref", "refs/remotes/origin/main", "HEAD", cwd=work)
    newest_git.run("clone", "-q", "--mirror", work, served / "bare.git")
    return served / "bare.git"


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_the_same_bytes(newest_git: Git, programs: Programs, repository: Path, form: str) -> None:
    for words in (["main"], ["v0.9"], ["--prefix=x/", "main", "f000", "several"]):
        git = newest_git.run("archive", f"--format={form}", *words, cwd=repository).stdout
        assert ours(newest_git, programs, repository, f"--format={form}", *words) == git
    # a tree says nothing of a commit
    git = newest_git.run("archive", "--mtime=1600000000", "main:", cwd=repository).stdout
    assert ours(newest_git, programs, repository, "--mtime=1600000000", "main:") == git


@pytest.mark.parametrize("message", MESSAGES, ids=range(len(MESSAGES)))
def test_messages(newest_git: Git, programs: Programs, repository: Path, message: str) -> None:
    made = commit(newest_git, repository, message, 5000, "HEAD", "v1^{commit}")
    newest_git.run("update-ref", "refs/heads/main", made, cwd=repository)
    git = newest_git.run("archive", "main", cwd=repository).stdout
    assert ours(newest_git, programs, repository, "main") == git


def test_descriptions(newest_git: Git, programs: Programs, served: Path) -> None:
    """On a random history."""
    repository = served / "described"
    newest_git.run("init", "-q", "-b", "main", repository)
    (repository / ".gitattributes").write_text("* export-subst\n")
    options = (
        "", ":tags", ":abbrev=4", ":abbrev=0", ":match=v*", ":exclude=v*", ":tags,match=l*",
        ":tags=yes,abbrev=12,exclude=x*", ":match=none", ":bogus",
    )  # fmt: skip
    for n, option in enumerate(options):
        (repository / f"f{n}").write_text(f"$Format:%(describe{option})|%(describe)$")
    newest_git.run("add", ".", cwd=repository)
    newest_git.run("commit", "-qm", "base", cwd=repository)
    dice = random.Random(5)
    tips = [newest_git.text("rev-parse", "HEAD", cwd=repository)]
    for n in range(80):
        parents = dice.sample(tips[-6:], min(len(tips), dice.choice([1, 1, 1, 2, 3])))
        date = n * 100 + dice.choice([0, 0, 500])
        tips.append(commit(newest_git, repository, str(n), date, *parents))
        for annotated, first in ((["-a", "-m", "x"], "vxa"), ([], "lx")):
            if dice.random() < 0.15:
                name = f"{dice.choice(first)}{n}"
                newest_git.run("tag", "-f", *annotated, name, tips[-1], cwd=repository)
    for n in range(3):
        newest_git.run("update-ref", "refs/heads/main", dice.choice(tips), cwd=repository)
        for f in range(len(options)):
            git = newest_git.run("archive", "main", f"f{f}", cwd=repository).stdout
            mine = ours(newest_git, programs, repository, "main", f"f{f}")
            assert mine == git, (n, options[f])


@pytest.mark.ours
def test_expansions_are_bounded(newest_git: Git, programs: Programs, served: Path) -> None:
    repository = served / "bomb"
    newest_git.run("init", "-q", "-b", "main", repository)
    (repository / ".gitattributes").write_text("* export-subst\n")
    (repository / "bomb").write_text("$Format:%<(16000)%h$" * 10_000)
    newest_git.run("add", ".", cwd=repository)
    newest_git.run("commit", "-qm", "x", cwd=repository)
    command = programs.upload_pack.replace("upload-pack", "upload-archive")
    flags = (f"--remote={repository}", f"--exec={command}")
    done = newest_git.run("archive", *flags, "main", check=False)
    assert done.returncode != 0
    assert b"expansions of export-subst are too long" in done.stderr


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("threshold", ["512m", "100"])
def test_large_files(
    newest_git: Git, programs: Programs, served: Path, form: str, threshold: str
) -> None:
    """They pass through in pieces, and what git calls big has its checksum behind it."""
    repository = served / "large"
    newest_git.run("init", "-q", "-b", "main", repository)
    (repository / ".gitattributes").write_text("s* export-subst\n")
    (repository / "text").write_text("".join(f"{n}\n" for n in range(700_000)))
    (repository / "random").write_bytes(random.Random(1).randbytes(4_300_000))
    (repository / "subst").write_text("$Format:%H$\n" * 20)
    newest_git.run("add", ".", cwd=repository)
    newest_git.run("commit", "-qm", "x", cwd=repository)
    newest_git.run("config", "core.bigFileThreshold", threshold, cwd=repository)
    words = (f"--format={form}", "main")
    git = newest_git.run("archive", *words, cwd=repository).stdout
    assert ours(newest_git, programs, repository, *words) == git


@pytest.mark.parametrize("known", [True, False])
def test_signatures(newest_git: Git, programs: Programs, served: Path, known: bool) -> None:
    """Who has signed the commit; asked only of those whom the operator knows."""
    repository = served / "signed"
    newest_git.run("init", "-q", "-b", "main", repository)
    key = served / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (repository / ".gitattributes").write_text("* export-subst\n")
    (repository / "f").write_text("".join(f"[$Format:%G{letter}$]" for letter in "G?SKFPTX"))
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(key))):
        newest_git.run("config", name, value, cwd=repository)
    newest_git.run("add", ".", cwd=repository)
    newest_git.run("commit", "-q", "-S", "-m", "signed", cwd=repository)
    signers = served / "signers"
    principal = "tester@example.org" if known else "somebody@example.org"
    signers.write_text(f"{principal} {(served / 'key.pub').read_text()}")
    if not known:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{key}2"], check=True)
        signers.write_text(f"{principal} {(served / 'key2.pub').read_text()}")
    for configured in (True, False):
        if configured:
            newest_git.run("config", "gpg.ssh.allowedSignersFile", signers, cwd=repository)
        else:
            newest_git.run("config", "--unset", "gpg.ssh.allowedSignersFile", cwd=repository)
        git = newest_git.run("archive", "main", cwd=repository).stdout
        assert ours(newest_git, programs, repository, "main") == git
    newest_git.run("commit", "-q", "--allow-empty", "-m", "unsigned", cwd=repository)
    git = newest_git.run("archive", "main", cwd=repository).stdout
    assert ours(newest_git, programs, repository, "main") == git


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "SHIFT-JIS", "UTF-16", "utf8", "nothing-such"])
def test_messages_in_other_encodings(
    newest_git: Git, programs: Programs, served: Path, encoding: str
) -> None:
    repository = served / "encoded"
    newest_git.run("init", "-q", "-b", "main", repository)
    (repository / ".gitattributes").write_text("* export-subst\n")
    (repository / "f").write_text("é $Format:%s|%<(12)%an|%e|%B$ é $Format:%h$ ñ\n")
    (repository / "g").write_bytes(b"\xff $Format:%s$\n")
    (repository / "h").write_text("plain $Format:%w(8)%s$\n")
    newest_git.run("add", ".", cwd=repository)
    tree = newest_git.text("write-tree", cwd=repository)
    for message in (b"S\xe9bject and \xfc more", "été".encode(), b"plain", b"\x93\xfa\x96\x7b"):
        person = b"B\xf6 <a@b> 1 +0000"
        head = b"tree %b\nauthor %b\ncommitter %b\n" % (tree.encode(), person, person)
        content = head + b"encoding %b\n\n%b\n" % (encoding.encode(), message)
        words = ("hash-object", "-t", "commit", "-w", "--stdin", "--literally")
        done = newest_git.run(*words, cwd=repository, stdin=content).stdout.decode().strip()
        newest_git.run("update-ref", "refs/heads/main", done, cwd=repository)
        git = newest_git.run("archive", "main", cwd=repository).stdout
        assert ours(newest_git, programs, repository, "main") == git, message
