"""``--filter=sparse:oid=``: the blobs of a sparse checkout, as git chooses them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from gitserve._core import PackStream, Snapshot, Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client import Client
from tests.support.gits import Git, object_ids
from tests.support.server import Programs, Server

pytestmark = pytest.mark.ours

NAMES = ("a", "b", "ab.c", "x.c", "a b", "[c]")


def history() -> bytes:
    """Files at three depths; contents that come again at other paths; a commit that moves some."""
    out = b""
    for commit in range(5):
        changes = b""
        for n, folders in enumerate(itertools.product(NAMES, repeat=3)):
            if n % 5 != commit:
                continue
            path = "/".join((*(f"{name}.d" for name in folders[: n % 3]), folders[2]))
            content = b"%d\n" % (n % 40 + commit)
            changes += b'M 100644 inline "%b"\ndata %d\n%b\n' % (
                path.encode(), len(content), content
            )  # fmt: skip
        if commit == 4:
            changes += b'R "a.d" "b.d/x"\n'
        out += b"commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 1\nx\n%b\n" % (
            1700000000 + commit,
            changes,
        )
    return out


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, newest_git: Git) -> Path:
    path = tmp_path_factory.mktemp("sparse") / "repository.git"
    newest_git.run("init", "-q", "--bare", str(path))
    newest_git.run("fast-import", "--quiet", cwd=path, stdin=history())
    return path


WORDS = st.sampled_from(
    ["*", "**", "?", "a", "b", "a*", "*.c", "*.d", "a.d", "[ab]", "[!a]*", "\\[c]", "ab.c", "a b",
     "***", "a**", "x", "[[:alpha:]].d", "\\a"]
)  # fmt: skip


@st.composite
def line(draw: st.DrawFn) -> str:
    words = "/".join(draw(st.lists(WORDS, min_size=1, max_size=3)))
    begin = draw(st.sampled_from(["", "", "/", "!", "!/", "# "]))
    end = draw(st.sampled_from(["", "", "/", "/", " ", "\\ ", "\r", "\t"]))
    return begin + words + end


PATTERNS = st.one_of(
    st.lists(line(), max_size=6).map(lambda lines: "\n".join(lines) + "\n"),
    # cones, and cones with a file or so
    st.lists(line(), max_size=3).map(lambda lines: "\n".join(["/*", "!/*/", *lines])),
)
BESIDE = st.sampled_from(["", "", "blob:limit=3", "tree:2", "tree:3", "object:type=blob"])


def sent(git: Git, snapshot: Snapshot, to: Path, want: str, spec: str) -> set[str]:
    stream = PackStream(snapshot, [want.encode()], filter_spec=spec.encode(), band_limit=0)
    (to / "sent.pack").write_bytes(b"".join(stream))
    (to / "sent.idx").unlink(missing_ok=True)
    git.run("index-pack", "sent.pack", cwd=to)
    listed = git.run(
        "show-index", "--object-format=sha1", cwd=to, stdin=(to / "sent.idx").read_bytes()
    )
    return {line.split()[1].decode() for line in listed.stdout.splitlines()}


@settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(patterns=PATTERNS, beside=BESIDE, back=st.integers(0, 4), by_tree=st.booleans())
def test_the_same_objects_as_git(
    patterns: str, beside: str, back: int, by_tree: bool,
    repository: Path, newest_git: Git, tmp_path: Path,
) -> None:  # fmt: skip
    snapshot = Store.open(str(repository / "objects")).snapshot()
    blob = snapshot.write_loose("blob", patterns.encode()).decode()
    want = newest_git.text("rev-parse", f"main~{back}" + "^{tree}" * by_tree, cwd=repository)

    def git(spec: str) -> set[str]:
        # what is asked for by name is sent, whatever the filter says
        return {want, *object_ids(newest_git, repository, f"--filter={spec}", want)}

    spec = f"sparse:oid={blob}"
    if not beside:
        assert sent(newest_git, snapshot, tmp_path, want, spec) == git(spec)
        return
    # a combining git overlooks what it has met before at a path where one filter was against it
    both = f"combine:{beside}+{spec}"
    ours = sent(newest_git, snapshot, tmp_path, want, both)
    assert git(both) <= ours
    if beside.startswith("tree:"):  # the path has to be one that is not too deep
        assert ours <= git(spec) & git(beside)
    else:
        assert ours == git(spec) & git(beside)


@pytest.fixture(params=[(0, "daemon"), (2, "stdio")], ids=["v0-daemon", "v2-stdio"])
def client(
    request: pytest.FixtureRequest, newest_git: Git, programs: Programs, server: Server
) -> Client:
    protocol, road = request.param
    return Client(newest_git, protocol, road, programs, server)


@pytest.fixture
def configured(served: Path, newest_git: Git) -> Path:
    path = served / "sparse"
    newest_git.run("init", "-q", str(path))
    for name in ("one", "two", "folder/one"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(f"{name}\n")
    (path / "only;one+").write_text("/one\n")
    newest_git.run("add", ".", cwd=path)
    newest_git.run("commit", "-qm", "x", cwd=path)
    newest_git.run("config", "uploadpack.allowFilter", "true", cwd=path)
    newest_git.run("config", "uploadpack.allowAnySHA1InWant", "true", cwd=path)
    return path


def held(git: Git, clone: Path) -> set[str]:
    listed = git.text("cat-file", "--batch-check", "--batch-all-objects", cwd=clone)
    return {line.split()[0] for line in listed.splitlines()}


@pytest.mark.parametrize("beside", ["", "blob:limit=6"])
@pytest.mark.parametrize("named", ["main:only;one+", "refs/heads/main:only;one+", "id"])
def test_clone(client: Client, configured: Path, tmp_path: Path, named: str, beside: str) -> None:
    blob = client.git.text("rev-parse", "main:only;one+", cwd=configured)
    filters = [f"--filter=sparse:oid={blob if named == 'id' else named}"]
    if beside:
        filters.append(f"--filter={beside}")
    client.clone(configured, tmp_path / "ours", "--bare", *filters)
    url = f"file://{configured}"
    client.git.run("clone", "-q", "--bare", *filters, url, tmp_path / "git")
    assert held(client.git, tmp_path / "ours") == held(client.git, tmp_path / "git")
    names = [line.split(" ")[1:] for line in client.git.lines(
        "rev-list", "--objects", "--missing=print", "HEAD", cwd=tmp_path / "ours"
    ) if line[0] != "?"]  # fmt: skip
    assert ["one"] in names
    assert ["two"] not in names
    # and what was left behind can be had later
    two = client.git.text("rev-parse", "HEAD:two", cwd=configured)
    assert client.run("cat-file", "blob", two, cwd=tmp_path / "ours").stdout == b"two\n"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("main:nothing", b"unable to access sparse blob in 'main:nothing'"),
        ("nobody:one", b"unable to access sparse blob in 'nobody:one'"),
        ("main:one/x", b"unable to access sparse blob in 'main:one/x'"),
        ("main", b"unable to parse sparse filter data in "),
        ("main:folder", b"unable to parse sparse filter data in "),
        ("refs/hidden/x:one", b"unable to access sparse blob in 'refs/hidden/x:one'"),
    ],
)
def test_what_is_no_blob(
    client: Client, configured: Path, tmp_path: Path, named: str, said: bytes
) -> None:
    client.git.run("update-ref", "refs/hidden/x", "HEAD", cwd=configured)
    client.git.run("config", "transfer.hideRefs", "refs/hidden", cwd=configured)
    flag = f"--filter=sparse:oid={named}"
    done = client.clone(configured, tmp_path / "clone", flag, check=False)
    assert done.returncode != 0
    assert said in done.stderr


def test_not_allowed(client: Client, configured: Path, tmp_path: Path) -> None:
    client.git.run("config", "uploadpackfilter.sparse:oid.allow", "false", cwd=configured)
    flag = "--filter=sparse:oid=main:only;one+"
    done = client.clone(configured, tmp_path / "clone", flag, check=False)
    assert done.returncode != 0
    assert b"filter 'sparse:oid' not supported" in done.stderr
