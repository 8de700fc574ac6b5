"""What gitserve does better than the original, each with the dialogue or the git that shows it.

That an idle client blocks nobody is in test_tcp_server.py, archives are in test_archive.py, large
blobs in test_large_blobs.py.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dulwich.objects import Blob, Commit, Tree
from dulwich.repo import MemoryRepo
from dulwich.repo import Repo as DulwichRepo
from gitserve.errors import HookError
from gitserve.protocol import Protocol, ReceivableProtocol, pkt_line
from gitserve.repo import Repo
from gitserve.server import DictBackend, ReceivePackHandler, UploadPackHandler

from tests.parity.talks import EMPTY_PACK, ZERO, clone_bytes, pkts, talk, unpkts
from tests.support.gits import Git, assert_sound

WHO = b"A Tester <tester@example.org>"


def kinds(project: Repo) -> list[Any]:
    """The same repository as ours and as dulwich's on disk."""
    return [project, DulwichRepo(project.path)]


@pytest.fixture(params=["ours", "dulwich", "memory"])
def repo(request: pytest.FixtureRequest, project: Repo) -> Iterator[Any]:
    """A repository with two commits on ``refs/heads/a``, of every kind."""
    if request.param == "memory":
        made: Any = MemoryRepo()
    else:
        bare = Repo.init_bare(Path(project.path).parent / "two.git", mkdir=True)
        made = DulwichRepo(bare.path)
    ids = two_commits(made)
    made.refs[b"refs/heads/a"] = ids[1]
    made.refs[b"refs/heads/b"] = ids[0]
    if request.param == "ours":
        made.close()
        made = Repo(made.path)
    yield made
    made.close()


def two_commits(repo: Any) -> list[bytes]:
    parents: list[bytes] = []
    for number in range(2):
        blob = Blob.from_string(b"content %d" % number)
        tree = Tree()
        tree.add(b"file", 0o100644, blob.id)
        commit = Commit()
        commit.tree, commit.parents, commit.message = tree.id, parents[-1:], b"%d" % number
        commit.author = commit.committer = WHO
        commit.author_time = commit.commit_time = 1_700_000_000 + number
        commit.author_timezone = commit.commit_timezone = 0
        repo.object_store.add_objects([(blob, None), (tree, None), (commit, None)])
        parents.append(commit.id)
    return parents


def report(out: bytes) -> list[bytes]:
    return [line.rstrip(b"\n") for line in unpkts(out) if line]


def push(repo: Any, *commands: bytes, capabilities: bytes = b"", pack: bytes = EMPTY_PACK) -> Any:
    first, *others = commands
    said = pkts(first + b"\0report-status delete-refs " + capabilities, *others, None)
    return report(talk(ReceivePackHandler, repo, said + pack))


def test_a_lost_compare_and_swap_is_no_ok(repo: Any) -> None:
    refs = repo.get_refs()
    a, b = refs[b"refs/heads/a"], refs[b"refs/heads/b"]
    said = push(repo, b"%b %b refs/heads/b" % (a, a))
    assert said[0] == b"unpack ok"
    assert said[1].startswith(b"ng refs/heads/b ")
    assert repo.get_refs()[b"refs/heads/b"] == b
    assert push(repo, b"%b %b refs/heads/b" % (b, a))[1] == b"ok refs/heads/b"
    assert repo.get_refs()[b"refs/heads/b"] == a


def test_a_lost_deletion_is_no_ok(repo: Any) -> None:
    refs = repo.get_refs()
    a, b = refs[b"refs/heads/a"], refs[b"refs/heads/b"]
    assert push(repo, b"%b %b refs/heads/b" % (a, ZERO), pack=b"")[1].startswith(b"ng ")
    assert push(repo, b"%b %b refs/heads/b" % (b, ZERO), pack=b"")[1] == b"ok refs/heads/b"
    assert b"refs/heads/b" not in repo.get_refs()


def test_a_push_whose_objects_are_missing_is_refused(repo: Any) -> None:
    said = push(repo, b"%b %b refs/heads/new" % (ZERO, b"12" * 20))
    assert said == [b"unpack ok", b"ng refs/heads/new missing necessary objects"]
    assert b"refs/heads/new" not in repo.get_refs()


def packed_commit(head: bytes) -> tuple[bytes, bytes]:
    """The id of a commit that begins so, and a pack of it alone."""
    commit = head + b"author %b 1 +0000\ncommitter %b 1 +0000\n\nx" % (WHO, WHO)
    pack = b"PACK" + bytes((0, 0, 0, 2, 0, 0, 0, 1))
    pack += bytes((0x90 | len(commit) & 15, len(commit) >> 4)) + zlib.compress(commit)
    pack += hashlib.sha1(pack).digest()
    return hashlib.sha1(b"commit %d\0%b" % (len(commit), commit)).hexdigest().encode(), pack


def test_history_that_the_pusher_lacks_too_is_refused(repo: Any) -> None:
    """A shallow client may push what is whole with us; what would stay cut off is not taken."""
    tree = repo[repo.get_refs()[b"refs/heads/a"]].tree
    commit_id, pack = packed_commit(b"tree %b\nparent %b\n" % (tree, b"12" * 20))
    command = b"%b %b refs/heads/new\0report-status" % (ZERO, commit_id)
    said = pkts(b"shallow " + commit_id, command, None) + pack
    told = report(talk(ReceivePackHandler, repo, said))
    assert told == [b"unpack ok", b"ng refs/heads/new shallow update not allowed"]
    assert b"refs/heads/new" not in repo.get_refs()


def test_a_commit_without_its_tree_is_refused(repo: Any) -> None:
    commit_id, pack = packed_commit(b"tree %b\n" % (b"34" * 20))
    said = push(repo, b"%b %b refs/heads/new" % (ZERO, commit_id), pack=pack)
    assert said[1] == b"ng refs/heads/new missing necessary objects"
    assert b"refs/heads/new" not in repo.get_refs()


def test_atomic_is_atomic(repo: Any) -> None:
    refs = repo.get_refs()
    a = refs[b"refs/heads/a"]
    commands = [b"%b %b refs/heads/new" % (ZERO, a), b"%b %b refs/heads/b" % (a, a)]
    said = push(repo, *commands, capabilities=b"atomic")
    assert [line.split()[0] for line in said[1:]] == [b"ng", b"ng"]
    assert repo.get_refs() == refs


@pytest.mark.parametrize("name", [b"HEAD", b"refs/heads/../a", b"refs/heads/a.lock", b"a"])
def test_funny_names_are_refused(repo: Any, name: bytes) -> None:
    refs = repo.get_refs()
    said = push(repo, b"%b %b %b" % (ZERO, refs[b"refs/heads/a"], name))
    assert said[1] == b"ng %b funny refname" % name
    assert repo.get_refs() == refs


def objects_of(git: Git, folder: Path, pack: bytes) -> int:
    """git unpacks it: how many objects it holds."""
    folder.mkdir()
    git.run("init", "--quiet", "--bare", folder)
    git.run("index-pack", "--stdin", "--fix-thin", cwd=folder, stdin=pack)
    return int.from_bytes(pack[8:12], "big")


def test_clients_without_thin_pack_or_bands_are_served(
    repo: Any, newest_git: Git, tmp_path: Path
) -> None:
    want = repo.get_refs()[b"refs/heads/a"]
    out = clone_bytes(repo, want, b"")
    assert out.startswith(b"0008NAK\nPACK")
    assert objects_of(newest_git, tmp_path / "x", out[8:]) == 6


def test_an_unknown_want_gets_an_error(repo: Any) -> None:
    out = clone_bytes(repo, b"12" * 20, b"side-band-64k")
    (line,) = unpkts(out)
    assert line == b"ERR upload-pack: not our ref " + b"12" * 20


def test_an_unknown_want_gets_an_error_in_version_2(repo: Any) -> None:
    words = [b"command=fetch\n", b"object-format=sha1\n"]
    said = pkts(*words) + b"0001" + pkts(b"want " + b"12" * 20 + b"\n", b"done\n", None)
    out = talk(UploadPackHandler, repo, said, args=["/", "version=2"])
    (line,) = unpkts(out)
    assert line == b"ERR upload-pack: not our ref " + b"12" * 20


@pytest.mark.parametrize("version", [0, 1, 2])
def test_include_tag_works(
    version: int, project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    git = newest_git
    git.run("tag", "-a", "-m", "late", "late", "main", cwd=Path(project.path))
    for number, repo in enumerate(kinds(project)):
        url = serve(DictBackend({"/": repo})) + "/"
        clone = tmp_path / f"clone{number}"
        options = ["-c", f"protocol.version={version}"]
        git.run(*options, "clone", "--quiet", "--single-branch", "--branch=main", url, clone)
        assert git.text("cat-file", "-t", "late", cwd=clone) == "tag"


@pytest.mark.parametrize("version", [0, 2])
def test_from_and_into_shallow_repositories(
    version: int, project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    git, options = newest_git, ["-c", f"protocol.version={version}"]
    shallow = tmp_path / "shallow.git"
    git.run("clone", "--quiet", "--bare", "--depth=3", f"file://{project.path}", shallow)
    url = serve(DictBackend({"/": DulwichRepo(str(shallow)), "/whole": project}))
    clone = tmp_path / "clone"
    git.run(*options, "clone", "--quiet", url + "/", clone)
    assert git.text("rev-parse", "--is-shallow-repository", cwd=clone) == "true"
    assert_sound(git, clone)
    git.run("commit", "--quiet", "--allow-empty", "-m", "more", cwd=clone)
    git.run(*options, "push", "--quiet", "origin", "HEAD:refs/heads/more", cwd=clone)
    assert_sound(git, shallow)
    git.run(*options, "fetch", "--quiet", "--unshallow", url + "/whole", cwd=clone)
    assert git.text("rev-parse", "--is-shallow-repository", cwd=clone) == "false"
    assert_sound(git, clone)


def test_hooks_see_the_objects_and_may_refuse(
    project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    """The executable by git's quarantine variables, the handler by its view of what comes in."""
    seen: list[bool] = []

    class Careful(ReceivePackHandler):
        def _on_pre_receive(self, client_refs: Any) -> None:
            for _, new, name in client_refs:
                seen.append(self.incoming is not None and new in self.incoming)
                seen.append(self.repo.object_store[new].tree in self.repo.object_store)
                if name.endswith(b"/bad"):
                    raise HookError("nothing bad here")

    git = newest_git
    hook = Path(project.path) / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nwhile read o n r; do git cat-file -t $n; done\n")
    hook.chmod(0o755)
    url = serve(DictBackend({"/": project}), handlers={b"git-receive-pack": Careful}) + "/"
    clone = tmp_path / "clone"
    git.run("clone", "--quiet", url, clone)
    git.run("commit", "--quiet", "--allow-empty", "-m", "new", cwd=clone)
    done = git.run("push", "origin", "HEAD:refs/heads/bad", cwd=clone, check=False)
    assert b"remote: commit" in done.stderr
    assert b"nothing bad here" in done.stderr
    assert b"pre-receive hook declined" in done.stderr
    assert seen == [True, True]
    assert b"refs/heads/bad" not in project.refs
    refused = git.text("rev-parse", "HEAD", cwd=clone).encode()
    assert refused not in project.object_store
    git.run("push", "--quiet", "origin", "HEAD:refs/heads/good", cwd=clone)
    assert b"refs/heads/good" in project.refs


@pytest.mark.parametrize("which", ["pre-receive", "update"])
def test_hook_objects_see_the_objects(repo: Any, which: str) -> None:
    """``repo.hooks``, as people fill it; they look where dulwich's users look."""
    seen: list[Any] = []

    class Looks:
        def execute(self, *arguments: Any) -> None:
            new = arguments[0][0][1] if which == "pre-receive" else arguments[2]
            seen.append(new in repo.object_store)
            seen.append(repo.object_store[new].tree == tree)
            if b"/bad" in (arguments[0][0][2] if which == "pre-receive" else arguments[0]):
                raise HookError("no")

    tree = repo[repo.get_refs()[b"refs/heads/a"]].tree
    commit_id, pack = packed_commit(b"tree %b\n" % tree)
    repo.hooks[which] = Looks()
    said = push(repo, b"%b %b refs/heads/bad" % (ZERO, commit_id), pack=pack)
    assert said[1] == b"ng refs/heads/bad " + (
        b"hook declined" if which == "update" else b"pre-receive hook declined"
    )
    if not isinstance(repo, MemoryRepo):
        assert commit_id not in repo.object_store
    said = push(repo, b"%b %b refs/heads/good" % (ZERO, commit_id), pack=pack)
    assert said[1] == b"ok refs/heads/good"
    assert commit_id in repo.object_store
    assert seen == [True] * 4


def test_what_a_hook_stores_stays(project: Repo) -> None:
    """Though the push that it refuses leaves nothing."""
    written: list[bytes] = []

    class Writes:
        def execute(self, *_: Any) -> None:
            written.append(project.object_store.write("blob", b"by a hook"))
            raise HookError("no")

    project.hooks["pre-receive"] = Writes()
    tree = project[project.get_refs()[b"refs/heads/main"]].tree
    commit_id, pack = packed_commit(b"tree %b\n" % tree)
    said = push(project, b"%b %b refs/heads/bad" % (ZERO, commit_id), pack=pack)
    assert said[1] == b"ng refs/heads/bad pre-receive hook declined"
    assert written[0] in project.object_store
    assert commit_id not in project.object_store


def test_the_little_server_takes_no_pushes_until_told(
    project: Repo, newest_git: Git, tmp_path: Path
) -> None:
    from tests.support.server import free_port

    clone = tmp_path / "clone"
    newest_git.run("clone", "--quiet", project.path, clone)
    for extra, well in (([], False), (["--enable=receive-pack"], True)):
        port = free_port()
        command = [sys.executable, "-m", "gitserve.server", "-l", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(
            [*command, *extra, str(tmp_path)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        try:
            assert server.stderr is not None
            assert b"Listening" in server.stderr.readline()
            url = f"git://127.0.0.1:{port}/project.git"
            assert newest_git.lines("ls-remote", url)
            done = newest_git.run("push", url, "HEAD:refs/heads/x", cwd=clone, check=False)
            assert (done.returncode == 0) is well
        finally:
            server.terminate()
            server.wait()
            server.stderr.close()


def test_the_little_web_server_takes_no_pushes_until_told(
    project: Repo, newest_git: Git, tmp_path: Path
) -> None:
    from tests.support.server import free_port

    clone = tmp_path / "clone"
    newest_git.run("clone", "--quiet", project.path, clone)
    for extra, well in (([], False), (["--enable-push"], True)):
        port = free_port()
        command = [sys.executable, "-m", "gitserve.web", "-l", "127.0.0.1", "-p", str(port)]
        with subprocess.Popen(
            [*command, *extra, project.path], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as server:
            try:
                assert server.stderr is not None
                assert b"Listening" in server.stderr.readline()
                url = f"http://127.0.0.1:{port}/"
                assert newest_git.lines("ls-remote", url)
                done = newest_git.run("push", url, "HEAD:refs/heads/x", cwd=clone, check=False)
                assert (done.returncode == 0) is well
            finally:
                server.terminate()


def test_a_proto_that_only_reads_exactly_is_not_asked_for_more(
    project: Repo, newest_git: Git, tmp_path: Path
) -> None:
    """``read(n)`` waits for all n bytes; asking for one too many would wait for ever."""
    source = tmp_path / "source"
    newest_git.run("clone", "--quiet", project.path, source)
    ids = newest_git.run("rev-list", "--objects", "--all", cwd=source).stdout
    pack = newest_git.run("pack-objects", "--stdout", cwd=source, stdin=ids).stdout
    head = newest_git.text("rev-parse", "HEAD", cwd=source).encode()
    target = Repo.init_bare(tmp_path / "target.git", mkdir=True)
    data = pkts(b"%b %b refs/heads/a\0report-status" % (ZERO, head), None) + pack
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        got = stream.read(size)
        assert len(got) == size, "this would wait for ever"
        return got

    out = io.BytesIO()
    handler = ReceivePackHandler(DictBackend({"/": target}), ["/"], Protocol(read, out.write))
    handler.handle()
    assert unpkts(out.getvalue())[-3:] == [b"unpack ok\n", b"ok refs/heads/a\n", None]
    assert target.refs[b"refs/heads/a"] == head


def test_what_comes_behind_a_request_is_left_alone(repo: Any) -> None:
    """A handler made by hand gives back what it read too far."""
    refs = repo.get_refs()
    said = pkts(b"%b %b refs/heads/b\0report-status delete-refs" % (refs[b"refs/heads/b"], ZERO))
    stream = io.BytesIO(said + b"0000" + pkt_line(b"next"))
    out = io.BytesIO()
    proto = ReceivableProtocol(stream.read, out.write)
    ReceivePackHandler(DictBackend({"/": repo}), ["/"], proto, True).handle()
    assert proto.read_pkt_line() == b"next"
