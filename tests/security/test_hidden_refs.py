"""Hidden refs: every way in which somebody could ask for one, or be given it unasked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.test_stdio import run
from tests.security.conversing import Site, get, length, post, status
from tests.support.gits import Git
from tests.support.raw import DELIM, FLUSH, greeting, pkt
from tests.support.server import Programs

pytestmark = pytest.mark.ours

REPOSITORY = b"/hidden.git"
VISIBLE = ("refs/heads/main", "refs/tags/shown")
HIDDEN = ("refs/heads/secret", "refs/tags/hidden", "refs/secret/x")


@pytest.fixture(scope="session")
def half_hidden(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    """Visible and hidden are one history: the hidden tag names a visible commit."""
    git, folder = newest_git, tmp_path_factory.mktemp("hidden")
    work, path = folder / "work", folder / "hidden.git"
    git.run("init", "-q", "-b", "main", work)
    (work / ".gitattributes").write_text("about export-subst\n")
    (work / "about").write_text("$Format:[%d][%D][%(decorate)][%(describe)]$\n")
    git.run("add", ".", cwd=work)
    git.run("commit", "-qm", "shown", cwd=work)
    git.run("tag", "-a", "-m", "x", "shown", cwd=work)
    git.run("tag", "-a", "-m", "x", "hidden", cwd=work)
    git.run("checkout", "-qb", "secret", cwd=work)
    (work / "secret").write_text("a secret\n")
    git.run("add", ".", cwd=work)
    git.run("commit", "-qm", "not shown", cwd=work)
    git.run("update-ref", "refs/secret/x", "secret", cwd=work)
    git.run("checkout", "-q", "main", cwd=work)
    git.run("clone", "-q", "--mirror", work, path)
    hide(git, path)
    return path


@pytest.fixture
def repository(site: Site, half_hidden: Path) -> Path:
    """A copy that is served."""
    path = site.folder / "hidden.git"
    shutil.copytree(half_hidden, path)
    return path


def hide(git: Git, repository: Path) -> None:
    for name in HIDDEN:
        git.run("config", "--add", "transfer.hideRefs", name, cwd=repository)


def show(git: Git, repository: Path) -> None:
    """What is asked for is there, and would be given."""
    git.run("config", "--unset-all", "transfer.hideRefs", cwd=repository)


@pytest.fixture
def ids(repository: Path) -> dict[str, bytes]:
    """Of each ref."""
    lines = (repository / "packed-refs").read_bytes().splitlines()
    packed = {line[41:].decode(): line[:40] for line in lines if line[:1] not in (b"#", b"^")}
    return {name: packed[name] for name in (*VISIBLE, *HIDDEN)}


@pytest.fixture
def reveals(ids: dict[str, bytes]) -> Callable[[bytes], bool]:
    """Is there a hidden name or id in it?"""
    words = [word for name in HIDDEN for word in (name.encode(), ids[name])]
    return lambda answer: any(word in answer for word in words)


Reveals = Callable[[bytes], bool]


def command(name: bytes, *lines: bytes) -> bytes:
    arguments = b"".join(pkt(line + b"\n") for line in lines)
    return pkt(b"command=" + name + b"\n") + DELIM + arguments + FLUSH


def v2(site: Site, name: bytes, *lines: bytes) -> bytes:
    first = greeting(b"git-upload-pack", REPOSITORY, b"version=2")
    return site.git(first, command(name, *lines))


PREFIXES = [b"ref-prefix " + name.encode() for name in HIDDEN]
LISTINGS: dict[str, Callable[[Site], bytes]] = {
    "v0": lambda site: site.git(greeting(b"git-upload-pack", REPOSITORY), FLUSH),
    "v1": lambda site: site.git(greeting(b"git-upload-pack", REPOSITORY, b"version=1"), FLUSH),
    "a push's": lambda site: site.git(greeting(b"git-receive-pack", REPOSITORY), FLUSH),
    "ls-refs": lambda site: v2(site, b"ls-refs", b"peel", b"symrefs"),
    "by prefix": lambda site: v2(site, b"ls-refs", b"peel", b"symrefs", *PREFIXES),
    "by short prefix": lambda site: v2(site, b"ls-refs", b"ref-prefix refs/s", b"ref-prefix r"),
    "HTTP": lambda site: site.http(get(b"/hidden.git/info/refs", query=b"service=git-upload-pack")),
    "dumb HTTP": lambda site: site.http(get(b"/hidden.git/info/refs")),
}


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS.keys())
def test_no_list_has_them(
    site: Site, newest_git: Git, repository: Path, reveals: Reveals,
    listing: Callable[[Site], bytes],
) -> None:  # fmt: skip
    hidden = listing(site)
    assert not reveals(hidden), hidden
    show(newest_git, repository)
    assert reveals(listing(site))


@pytest.mark.parametrize("packed", [False, True])
def test_loose_and_packed(
    site: Site, newest_git: Git, repository: Path, reveals: Reveals, packed: bool
) -> None:
    for name in HIDDEN:
        value = newest_git.text("rev-parse", name, cwd=repository)
        newest_git.run("update-ref", "-d", name, cwd=repository)
        newest_git.run("update-ref", name, value, cwd=repository)
    if packed:
        newest_git.run("pack-refs", "--all", cwd=repository)
    answer = LISTINGS["v0"](site)
    assert b"refs/heads/main" in answer
    assert not reveals(answer)


def behind_the_refs(answer: bytes) -> bytes:
    """What follows the first flush."""
    while answer[:4] not in (b"", FLUSH):
        answer = answer[int(answer[:4], 16) :]
    return answer[4:]


def wanted(site: Site, version: int, want: bytes) -> bytes:
    if version == 2:
        return v2(site, b"fetch", b"want " + want, b"done")
    request = pkt(b"want " + want + b"\n") + FLUSH + pkt(b"done\n")
    answer = site.git(greeting(b"git-upload-pack", REPOSITORY), request)
    return behind_the_refs(answer)


@pytest.mark.parametrize("name", HIDDEN)
def test_by_id(
    site: Site, newest_git: Git, repository: Path, ids: dict[str, bytes], name: str
) -> None:
    for allowed in ("", "uploadpack.allowReachableSHA1InWant"):
        if allowed:
            newest_git.run("config", allowed, "true", cwd=repository)
        answer = wanted(site, 0, ids[name])
        assert answer[4:] == b"ERR upload-pack: not our ref " + ids[name], allowed
    newest_git.run("config", "uploadpack.allowTipSHA1InWant", "true", cwd=repository)
    assert b"PACK" in wanted(site, 0, ids[name])


@pytest.mark.parametrize("name", HIDDEN)
def test_by_id_in_v2_where_that_is_forbidden(
    site: Site, newest_git: Git, repository: Path, ids: dict[str, bytes], name: str
) -> None:
    """Unless somebody says otherwise v2 gives what it has, as git's."""
    assert b"PACK" in wanted(site, 2, ids[name])
    newest_git.run("config", "uploadpack.allowAnySHA1InWant", "false", cwd=repository)
    assert b"ERR upload-pack: not our ref " + ids[name] in wanted(site, 2, ids[name])
    for shown in VISIBLE:
        assert b"PACK" in wanted(site, 2, ids[shown])
    above = newest_git.text("rev-parse", "main^{tree}", cwd=repository).encode()
    assert b"PACK" in wanted(site, 2, above), "partial clones ask for trees and blobs"


@pytest.mark.parametrize("version", [0, 2])
def test_by_deepen_not(site: Site, ids: dict[str, bytes], version: int) -> None:
    """A history that ends where a hidden ref begins would tell where that is."""
    main = ids["refs/heads/main"]

    def asked(name: bytes) -> bytes:
        if version == 2:
            lines = (b"want " + main, b"deepen-not " + name, b"done")
            answer = v2(site, b"fetch", *lines)
        else:
            request = pkt(b"want %b deepen-not\n" % main) + pkt(b"deepen-not %b\n" % name) + FLUSH
            answer = site.git(greeting(b"git-upload-pack", REPOSITORY), request)
        return answer.rpartition(b"ERR ")[2].replace(name, b"NAME")

    for name in (*HIDDEN, "secret", "hidden"):
        assert asked(name.encode()) == asked(b"refs/heads/absent")
        assert b"NAME" in asked(name.encode())


def test_by_name(site: Site, newest_git: Git, repository: Path) -> None:
    newest_git.run("config", "uploadpack.allowRefInWant", "true", cwd=repository)

    def asked(name: bytes) -> bytes:
        answer = v2(site, b"fetch", b"want-ref " + name, b"done")
        return answer.rpartition(b"ERR ")[2].replace(name, b"NAME")

    for hidden in HIDDEN:
        assert asked(hidden.encode()) == asked(b"refs/heads/absent") == b"unknown ref NAME"


@pytest.mark.parametrize("version", [0, 2])
def test_tags_that_go_along(
    site: Site, newest_git: Git, repository: Path, ids: dict[str, bytes], tmp_path: Path,
    version: int,
) -> None:  # fmt: skip
    """``include-tag`` sends tags of what is sent, unasked."""

    def given(name: str) -> set[str]:
        clone = tmp_path / name
        newest_git.run("init", "-q", "--bare", clone)
        main = ids["refs/heads/main"]
        if version == 2:
            answer = v2(site, b"fetch", b"want " + main, b"include-tag", b"no-progress", b"done")
            pack = unbanded(answer.partition(pkt(b"packfile\n"))[2])
        else:
            request = pkt(b"want %b include-tag\n" % main) + FLUSH + pkt(b"done\n")
            answer = site.git(greeting(b"git-upload-pack", REPOSITORY), request)
            pack = answer.partition(pkt(b"NAK\n"))[2]
        newest_git.run("unpack-objects", "-q", cwd=clone, stdin=pack)
        listed = newest_git.lines(
            "cat-file", "--batch-all-objects", "--batch-check=%(objectname)", cwd=clone
        )
        return set(listed)

    shown, hidden = (ids[name].decode() for name in ("refs/tags/shown", "refs/tags/hidden"))
    assert given("one") & {shown, hidden} == {shown}
    show(newest_git, repository)
    assert given("two") & {shown, hidden} == {shown, hidden}


def unbanded(answer: bytes) -> bytes:
    """The first band."""
    data = []
    while answer[:4] not in (b"", FLUSH):
        size = int(answer[:4], 16)
        if answer[4:5] == b"\1":
            data.append(answer[5:size])
        answer = answer[size:]
    return b"".join(data)


def archived(site: Site, *arguments: bytes) -> bytes:
    lines = b"".join(pkt(b"argument " + argument + b"\n") for argument in arguments)
    return site.git(greeting(b"git-upload-archive", REPOSITORY), lines, FLUSH)


NAMES_IN_ARCHIVES = [
    b"secret", b"heads/secret", b"refs/heads/secret", b"secret:", b"secret:secret", b"hidden",
    b"tags/hidden", b"refs/secret/x", b"secret/x", b"secret^{tree}", b"secret~0", b"main..secret",
]  # fmt: skip


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("name", NAMES_IN_ARCHIVES)
def test_through_an_archive(site: Site, name: bytes) -> None:
    for asked in (name, b"absent"):
        told = b"fatal: no such ref: %b\n" % asked.partition(b":")[0]
        assert told in archived(site, asked)


def test_through_an_archive_of_a_namespace(
    newest_git: Git, repository: Path, programs: Programs
) -> None:
    """There, patterns behind ``^`` are the only ones that know the namespace's name."""
    for name in ("main", "secret"):
        newest_git.run("update-ref", f"refs/namespaces/a/refs/heads/{name}", name, cwd=repository)
    program = programs.upload_pack.replace("upload-pack", "upload-archive")

    def asked(name: bytes) -> bytes:
        request = pkt(b"argument " + name + b"\n") + FLUSH
        return run(program, repository, stdin=request, GIT_NAMESPACE="a").stdout

    show(newest_git, repository)
    assert b"a secret\n" in asked(b"secret")
    pattern = "^refs/namespaces/a/refs/heads/secret"
    newest_git.run("config", "transfer.hideRefs", pattern, cwd=repository)
    assert b"no such ref: secret" in asked(b"secret")
    assert b"about" in asked(b"main")


def test_by_id_through_an_archive(site: Site, ids: dict[str, bytes]) -> None:
    for name in HIDDEN:
        assert b"no such ref" in archived(site, ids[name])
    assert b"about" in archived(site, b"main")


def test_in_what_an_archive_says_of_its_commit(
    site: Site, newest_git: Git, repository: Path
) -> None:
    assert b"hidden" not in archived(site, b"main")
    assert b"tag: shown" in archived(site, b"main")
    show(newest_git, repository)
    assert b"tag: hidden" in archived(site, b"main")


def test_objects_as_files(site: Site, newest_git: Git, repository: Path) -> None:
    """Packs hold everything, and need no id to be found: not to be had unless that is said."""
    newest_git.run("repack", "-adq", cwd=repository)
    (pack,) = (repository / "objects/pack").glob("*.pack")
    loose = newest_git.run(
        "hash-object", "-w", "--stdin", cwd=repository, stdin=b"loose"
    ).stdout.decode()
    files = [
        f"/hidden.git/objects/pack/{pack.name}",
        f"/hidden.git/objects/pack/{pack.stem}.idx",
        f"/hidden.git/objects/{loose[:2]}/{loose[2:40]}",
    ]

    def statuses() -> list[int]:
        return [status(site.http(get(file.encode()))) for file in files]

    assert statuses() == [403] * 3
    assert status(site.http(get(b"/hidden.git/HEAD"))) == 200
    newest_git.run("config", "http.getanyfile", "true", cwd=repository)
    assert statuses() == [200] * 3
    newest_git.run("config", "--unset", "http.getanyfile", cwd=repository)
    show(newest_git, repository)
    assert statuses() == [200] * 3
    newest_git.run("config", "http.getanyfile", "false", cwd=repository)
    assert statuses() == [403] * 3


def test_sizes_are_told_to_nobody_unasked(site: Site, ids: dict[str, bytes]) -> None:
    """``object-info`` knows every object, so it is off."""
    asked = b"oid " + ids["refs/heads/secret"]
    body = command(b"object-info", b"size", asked)
    assert b"ERR " in site.http(post(REPOSITORY, body, length(body)))


@pytest.mark.parametrize("hiding", ["transfer.hideRefs", "receive.hideRefs"])
def test_they_cannot_be_pushed_to(
    site: Site, newest_git: Git, repository: Path, ids: dict[str, bytes], hiding: str
) -> None:
    show(newest_git, repository)
    newest_git.run("config", hiding, "refs/heads/secret", cwd=repository)
    old, zero = ids["refs/heads/secret"], b"0" * 40
    line = b"%b %b refs/heads/secret\0report-status delete-refs\n" % (old, zero)
    answer = site.git(greeting(b"git-receive-pack", REPOSITORY), pkt(line), FLUSH)
    assert b"ng refs/heads/secret deny deleting a hidden ref" in answer
    assert newest_git.text("rev-parse", "refs/heads/secret", cwd=repository).encode() == old
