"""Handlers as people write them: subclasses, patches, protos of their own, old and new forms."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dulwich.errors
import pytest
from dulwich.protocol import ReceivableProtocol as DulwichProtocol
from dulwich.repo import MemoryRepo
from dulwich.repo import Repo as DulwichRepo
from gitserve import errors
from gitserve.dropin.served import served
from gitserve.protocol import Protocol, ReceivableProtocol
from gitserve.repo import Repo
from gitserve.repository.native import NativeRepository
from gitserve.server import (
    DEFAULT_HANDLERS,
    Backend,
    DictBackend,
    PackHandler,
    ReceivePackHandler,
    UploadPackHandler,
    generate_info_refs,
    generate_objects_info_packs,
    update_server_info,
)

from tests.parity.talks import pkts, unpkts
from tests.support.gits import Git, assert_sound


class Packets:
    """A proto with packets and bands, and nothing else."""

    def __init__(self, *lines: bytes | None) -> None:
        self.lines = list(lines)
        self.said: list[Any] = []

    def read_pkt_line(self) -> bytes | None:
        if not self.lines:
            raise dulwich.errors.HangupException
        return self.lines.pop(0)

    def write_pkt_line(self, line: bytes | None) -> None:
        self.said.append(line)

    def write_sideband(self, band: int, data: bytes) -> None:
        self.said.append((band, data))


def test_a_proto_of_packets(project: Repo) -> None:
    head = project.head()
    proto = Packets(b"want %b side-band-64k ofs-delta\n" % head, None, b"done\n")
    UploadPackHandler(DictBackend({"/": project}), ["/"], proto).handle()
    first, *_ = proto.said
    assert first.startswith(head + b" HEAD\0")
    at = proto.said.index(b"NAK\n")
    assert proto.said.index(None) < at
    data = b"".join(item[1] for item in proto.said[at + 1 : -1] if item[0] == 1)
    assert data.startswith(b"PACK")
    assert proto.said[-1] is None


@pytest.mark.parametrize("kind", [Protocol, ReceivableProtocol, DulwichProtocol])
def test_protos_over_files(kind: Any, project: Repo) -> None:
    out = io.BytesIO()
    said = io.BytesIO(pkts(b"want %b" % project.head(), None, b"done"))
    UploadPackHandler(DictBackend({"/": project}), ["/"], kind(said.read, out.write)).handle()
    assert b"0008NAK\nPACK" in out.getvalue()


class Selective(UploadPackHandler):
    """The old form: a class method that adds to and takes from what its base offers."""

    @classmethod
    def capabilities(cls) -> Any:
        offered = UploadPackHandler.capabilities() + (b"own-thing",)  # noqa: RUF005 - as they do
        return tuple(word for word in offered if word != b"shallow")

    @classmethod
    def required_capabilities(cls) -> Any:
        return (b"own-thing",)


def advertised(handler_class: Any, repo: Any, args: Any = ("/",), **options: Any) -> list[bytes]:
    out = io.BytesIO()
    proto = Protocol(io.BytesIO(b"0000").read, out.write)
    handler_class(DictBackend({"/": repo}), list(args), proto, **options).handle()
    first = unpkts(out.getvalue())[0]
    assert first is not None
    return first.partition(b"\0")[2].split()


def test_capabilities_of_a_subclass_are_offered_and_demanded(project: Repo) -> None:
    words = advertised(Selective, project, ("/", b"version=2"))
    assert b"own-thing" in words
    assert b"shallow" not in words
    assert any(word.startswith(b"agent=gitserve/") for word in words)
    assert b"symref=HEAD:refs/heads/main" in words
    proto = Packets(b"want %b side-band-64k\n" % project.head(), None, b"done\n")
    with pytest.raises(errors.GitProtocolError, match="own-thing"):
        Selective(DictBackend({"/": project}), ["/"], proto).handle()
    assert proto.said[-1].startswith(b"ERR Client does not support required capability")


def test_a_patched_class(project: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UploadPackHandler, "capabilities", lambda self: [b"only-this"])
    assert advertised(UploadPackHandler, project)[0] == b"only-this"


def test_a_patched_instance(project: Repo) -> None:
    out = io.BytesIO()
    proto = Protocol(io.BytesIO(b"0000").read, out.write)
    handler = ReceivePackHandler(DictBackend({"/": project}), ["/"], proto)
    handler.capabilities = lambda: [b"report-status"]  # type: ignore[method-assign]
    handler.handle()
    assert b"\0report-status agent=" in out.getvalue()


@pytest.mark.parametrize("kind", [UploadPackHandler, ReceivePackHandler])
def test_capabilities_of_class_and_instance(kind: Any, project: Repo) -> None:
    handler = kind(DictBackend({"/": project}), ["/"], None)
    on_class, on_instance = list(kind.capabilities()), list(handler.capabilities())
    assert kind.capabilities(handler) == on_instance
    assert on_instance == [*on_class, b"object-format=sha1"]
    assert kind.capability_line() == b"".join(b" " + word for word in on_class)
    assert set(on_instance) <= set(advertised(kind, project))
    assert list(kind.required_capabilities()) == []
    handler.set_client_capabilities([*on_instance, b"agent=x"])
    assert handler.has_capability(b"ofs-delta")
    with pytest.raises(errors.GitProtocolError):
        handler.set_client_capabilities([b"unheard-of"])


@pytest.mark.parametrize("form", [{"http_req": object()}, {"stateless_rpc": True}])
def test_stateless_in_the_old_form_and_the_new(form: dict[str, Any], project: Repo) -> None:
    out = io.BytesIO()
    said = pkts(b"want %b ofs-delta" % project.head(), None, b"done")
    proto = Protocol(io.BytesIO(said).read, out.write)
    UploadPackHandler(DictBackend({"/": project}), ["/"], proto, **form).handle()
    assert out.getvalue().startswith(b"0008NAK\nPACK")
    assert b"no-done" in advertised(UploadPackHandler, project, advertise_refs=True, **form)


def test_done_and_tags(project: Repo, newest_git: Git) -> None:
    newest_git.run("tag", "-a", "-m", "t", "annotated", "main", cwd=Path(project.path))
    handler = UploadPackHandler(DictBackend({"/": project}), ["/"], None)
    handler.set_client_capabilities([])
    assert handler.get_tagged() == {}
    handler.set_client_capabilities([b"include-tag"])
    tag_id = project.refs[b"refs/tags/annotated"]
    only = {b"refs/tags/annotated": tag_id, b"refs/heads/main": project.head()}
    assert handler.get_tagged(only) == {project.head(): tag_id}
    with DulwichRepo(project.path) as repo:
        assert handler.get_tagged(only, repo=repo) == {project.head(): tag_id}
    handler.notify_done()
    assert handler._done_received


def test_a_backend_that_subclasses_nothing(
    project: Repo, serve: Callable[..., str], newest_git: Git
) -> None:
    class Finds:
        def open_repository(self, path: Any) -> Repo:
            if path != b"/mine":
                raise dulwich.errors.NotGitRepository(path)
            return project

    url = serve(Finds())
    assert newest_git.lines("ls-remote", url + "/mine")
    done = newest_git.run("ls-remote", url + "/yours", check=False)
    assert b"access denied or repository not exported: /yours" in done.stderr


def test_abstract_parts() -> None:
    with pytest.raises(NotImplementedError):
        Backend().open_repository("/")
    handler = PackHandler(Backend(), None)
    with pytest.raises(NotImplementedError):
        handler.handle()
    with pytest.raises(NotImplementedError):
        handler.capabilities()
    assert set(DEFAULT_HANDLERS) == {
        b"git-upload-pack",
        b"git-receive-pack",
        b"git-upload-archive",
    }


def test_hooks_of_the_program(
    project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    """``repo.hooks`` of a dulwich repository that is served from its folder."""
    calls: list[tuple[str, Any]] = []

    class Hook:
        def __init__(self, name: str) -> None:
            self.name = name

        def execute(self, *arguments: Any) -> Any:
            calls.append((self.name, arguments))
            if self.name == "update" and arguments[0].endswith(b"/bad"):
                raise dulwich.errors.HookError("not that one")
            return b"out of %b\n" % self.name.encode(), b""

    repo = DulwichRepo(project.path)
    for name in ("pre-receive", "update", "post-receive"):
        repo.hooks[name] = Hook(name)  # type: ignore[assignment]
    url = serve(DictBackend({"/": repo})) + "/"
    clone = tmp_path / "clone"
    newest_git.run("clone", "--quiet", url, clone)
    refs = ["HEAD:refs/heads/good", "HEAD:refs/heads/bad"]
    done = newest_git.run("push", url, *refs, cwd=clone, check=False)
    assert b"remote: out of pre-receive" in done.stderr
    assert b"not that one" in done.stderr
    assert b"hook declined" in done.stderr
    assert b"refs/heads/good" in repo.refs
    assert b"refs/heads/bad" not in repo.refs
    assert [name for name, _ in calls] == ["pre-receive", "update", "update", "post-receive"]
    assert calls[-1][1] == ([(b"0" * 40, project.head(), b"refs/heads/good")],)
    repo.close()


def test_what_is_served_natively(project: Repo) -> None:
    class Other(DulwichRepo):
        def get_refs(self) -> Any:
            return {}

    class Named(DulwichRepo):
        name = "only that"

    with DulwichRepo(project.path) as plain, Other(project.path) as other:
        assert isinstance(served(plain), NativeRepository)
        assert not isinstance(served(other), NativeRepository)
    with Named(project.path) as named:
        assert isinstance(served(named), NativeRepository)
    assert not isinstance(served(MemoryRepo()), NativeRepository)


@pytest.mark.parametrize("version", [0, 2])
def test_memory_repositories(
    version: int, project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    git, memory = newest_git, MemoryRepo()
    with DulwichRepo(project.path) as disk:
        ids = list(disk.object_store)
        memory.object_store.add_objects([(disk.object_store[i], None) for i in ids])
        for name, value in disk.get_refs().items():
            if name != b"HEAD":
                memory.refs[name] = value
    url = serve(DictBackend({"/": memory})) + "/"
    options, clone = ["-c", f"protocol.version={version}"], tmp_path / "clone"
    git.run(*options, "clone", "--quiet", "--depth=2", "--branch=main", url, clone)
    git.run(*options, "fetch", "--quiet", "--unshallow", cwd=clone)
    assert_sound(git, clone)
    partial = tmp_path / "partial"
    git.run(*options, "clone", "--quiet", "--bare", "--filter=blob:none", url, partial)
    git.run("commit", "--quiet", "--allow-empty", "-m", "x", cwd=clone)
    git.run(*options, "push", "--quiet", "origin", "HEAD:refs/heads/x", cwd=clone)
    pushed = git.text("rev-parse", "HEAD", cwd=clone).encode()
    assert memory.refs[b"refs/heads/x"] == pushed
    assert pushed in memory.object_store


def test_info_files(project: Repo, newest_git: Git) -> None:
    git, path = newest_git, Path(project.path)
    git.run("tag", "-a", "-m", "t", "annotated", "main", cwd=path)
    git.run("repack", "-adq", cwd=path)
    git.run("update-server-info", cwd=path)
    for kind in (Repo, DulwichRepo):
        with kind(project.path) as repo:
            assert b"".join(generate_info_refs(repo)) == (path / "info/refs").read_bytes()
            packs = b"".join(generate_objects_info_packs(repo))
            assert packs + b"\n" == (path / "objects/info/packs").read_bytes()
    (path / "info/refs").unlink()
    (path / "objects/info/packs").unlink()
    update_server_info(project)
    assert (path / "info/refs").read_bytes() == b"".join(generate_info_refs(project))
    assert (path / "objects/info/packs").exists()


def test_exceptions_catch_each_other() -> None:
    assert errors.NotGitRepository is dulwich.errors.NotGitRepository
    for name in dulwich.errors.__all__:
        assert getattr(errors, name) is getattr(dulwich.errors, name)
    pairs: list[tuple[type[errors.GitServeError], type[Exception]]] = [
        (errors.NoRepository, dulwich.errors.NotGitRepository),
        (errors.PeerError, dulwich.errors.GitProtocolError),
        (errors.HangupError, dulwich.errors.HangupException),
    ]
    for ours, theirs in pairs:
        raised = ours("words")
        with pytest.raises(theirs) as caught:
            raise raised
        assert str(caught.value) == "words"
        assert caught.value == raised
        assert caught.value != ours("words")
        assert hash(raised) == hash(raised)
    with pytest.raises(dulwich.errors.NotGitRepository):
        Repo("/nowhere/at/all")


ALONE = """\
import sys
sys.modules["dulwich"] = None
from gitserve import errors, protocol, repo, server
for name in {names!r}:
    assert issubclass(getattr(errors, name), Exception), name
try:
    repo.Repo("/nowhere/at/all")
except errors.NotGitRepository as error:
    assert isinstance(error, errors.RepositoryError)
for module, names in {public!r}.items():
    missing = set(names) - set(dir(getattr(sys.modules["gitserve"], module)))
    assert not missing, missing
assert errors.HangupException().stderr_lines is None
assert str(errors.ChecksumMismatch(b"a" * 20, "b")) == str({mismatch!r})
assert errors.GitProtocolError("a") == errors.GitProtocolError("a")
"""


def test_nothing_is_missing_without_dulwich() -> None:
    import dulwich.protocol
    import dulwich.server

    code = ALONE.format(
        names=dulwich.errors.__all__,
        public={"server": dulwich.server.__all__, "protocol": dulwich.protocol.__all__},
        mismatch=str(dulwich.errors.ChecksumMismatch(b"a" * 20, "b")),
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_serving_on_a_pipe_imports_no_dulwich() -> None:
    code = (
        "import sys; from gitserve.transport import stdio; import gitserve.service.upload;"
        "assert not [n for n in sys.modules if n.split('.')[0] == 'dulwich' or 'dropin' in n]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
