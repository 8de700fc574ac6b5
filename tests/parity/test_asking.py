"""Third-party repositories that choose what is sent, with the old method and the new."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from dulwich.repo import Repo as DulwichRepo
from gitserve.repo import Repo
from gitserve.server import BackendRepo, DictBackend, UploadPackHandler

from tests.support.gits import Git, assert_sound, object_ids


class Plain:
    """Subclasses nothing; has what dulwich documents and no more."""

    def __init__(self, repo: Repo) -> None:
        self.inner = repo
        self.object_store = repo.object_store
        self.refs = repo.refs
        self.asked: list[tuple[list[bytes], list[bytes]]] = []

    def get_refs(self) -> dict[bytes, bytes]:
        return self.inner.get_refs()

    def get_peeled(self, ref: bytes) -> bytes | None:
        return self.inner.get_peeled(ref)

    def choose(self, determine_wants: Any, graph_walker: Any, progress: Any) -> list[bytes]:
        refs = {name: value for name, value in self.get_refs().items() if b"side" not in name}
        wants = determine_wants(refs)
        common = []
        while (have := next(graph_walker)) is not None:
            if have in self.object_store:
                graph_walker.ack(have)
                common.append(have)
        self.asked.append((wants, common))
        known = set(closure(self.inner, common))
        progress(b"choosing\n")
        return [object_id for object_id in closure(self.inner, wants) if object_id not in known]


def closure(repo: Repo, tips: list[bytes], ends: Collection[bytes] = ()) -> list[bytes]:
    """All that the tips reach, in plain Python."""
    seen: dict[bytes, None] = {}
    todo = list(tips)
    while todo:
        object_id = todo.pop()
        if object_id in seen:
            continue
        seen[object_id] = None
        found = repo[object_id]
        if found.type_name == b"commit":
            todo += [found.tree, *(() if object_id in ends else found.parents)]
        elif found.type_name == b"tag":
            todo.append(found.data.split(b"\n")[0].split(b" ")[1])
        elif found.type_name == b"tree":
            rest = found.data
            while rest:
                entry, _, rest = rest.partition(b"\0")
                if not entry.startswith(b"160000"):
                    todo.append(rest[:20].hex().encode())
                rest = rest[20:]
    return list(seen)


class New(Plain):
    def find_missing_objects(
        self,
        determine_wants: Any,
        graph_walker: Any,
        progress: Any,
        *,
        get_tagged: Any = None,
        depth: int | None = None,
    ) -> Any:
        return iter([(i, None) for i in self.choose(determine_wants, graph_walker, progress)])


class Old(Plain):
    def fetch_objects(
        self, determine_wants: Any, graph_walker: Any, progress: Any, get_tagged: Any = None
    ) -> Any:
        return [
            (Shaped(self.inner, i), b"path")
            for i in self.choose(determine_wants, graph_walker, progress)
        ]


class Shaped:
    """An object as dulwich has them."""

    def __init__(self, repo: Repo, object_id: bytes) -> None:
        self.type_num, self._data = repo.object_store.get_raw(object_id)

    def as_raw_string(self) -> bytes:
        return self._data


class Both(New):
    def fetch_objects(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("the new name comes first")


class Declared(Old, BackendRepo):
    """Subclasses the interface, and has the old method only."""

    object_store: Any
    refs: Any


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("kind", [New, Old, Both, Declared])
def test_it_chooses(
    kind: Any, version: int, project: Repo, serve: Callable[..., str], newest_git: Git,
    tmp_path: Path,
) -> None:  # fmt: skip
    git, clone = newest_git, tmp_path / "clone"
    repo = kind(project)
    url = serve(DictBackend({b"/": repo})) + "/"
    options = ["-c", f"protocol.version={version}"]
    git.run(*options, "clone", "--quiet", "--mirror", url, clone)
    assert_sound(git, clone)
    assert object_ids(git, clone, "main") == object_ids(git, Path(project.path), "main")
    assert len(repo.asked) == 1

    project.do_commit(b"more", committer=b"A <a@example.org>", tree=project[project.head()].tree)
    git.run(*options, "fetch", "--quiet", "origin", cwd=clone)
    assert_sound(git, clone)
    assert git.text("rev-parse", "main", cwd=clone).encode() == project.head()
    wants, common = repo.asked[1]
    assert project.head() in wants
    assert common


class Aware(New):
    """Cuts history where the walker says."""

    def choose(self, determine_wants: Any, graph_walker: Any, progress: Any) -> list[bytes]:
        wants = determine_wants(self.get_refs())
        haves = list(iter(graph_walker.next, None))
        cut = graph_walker.client_shallow
        assert not (cut and haves), "the client lacks what is behind its haves"
        known = set(closure(self.inner, [have for have in haves if have in self.object_store]))
        found = closure(self.inner, wants, graph_walker.shallow)
        return [object_id for object_id in found if object_id not in known]


class Delegating(DulwichRepo):
    """A folder, but in charge of what is sent."""

    def find_missing_objects(self, *arguments: Any, **options: Any) -> Any:
        return super().find_missing_objects(*arguments, **options)


@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize("kind", [New, Old, Aware, Delegating])
def test_shallow_and_back(
    kind: Any, version: int, project: Repo, serve: Callable[..., str], newest_git: Git,
    tmp_path: Path,
) -> None:  # fmt: skip
    """The client gets all that it lacks, whether or not a repository knows of boundaries."""
    repo = kind(project.path if kind is Delegating else project)
    git, clone, original = newest_git, tmp_path / "clone", Path(project.path)
    url = serve(DictBackend({b"/": repo})) + "/"
    options = ["-c", f"protocol.version={version}"]
    git.run(*options, "clone", "--quiet", "--single-branch", "--depth=2", url, clone)
    for depth, options_ in ((2, None), (5, ["--depth=5"]), (7, ["--deepen=2"])):
        if options_ is not None:
            git.run(*options, "fetch", "--quiet", *options_, cwd=clone)
        assert_sound(git, clone)
        whole = tmp_path / f"whole{depth}"
        git.run("clone", "--quiet", "--bare", "--single-branch", f"--depth={depth}",
                f"file://{original}", whole)  # fmt: skip
        assert object_ids(git, clone, "origin/main") == object_ids(git, whole, "main")
        if kind in (Aware, Delegating):
            count = int(git.text("count-objects", "-v", cwd=clone).split("in-pack: ")[1].split()[0])
            assert count < len(object_ids(git, original)) / 2
    git.run("commit", "--quiet", "--allow-empty", "-m", "mine", cwd=clone)
    git.run(*options, "fetch", "--quiet", "--unshallow", cwd=clone)
    assert git.text("rev-parse", "--is-shallow-repository", cwd=clone) == "false"
    assert_sound(git, clone)
    assert object_ids(git, clone, "origin/main") == object_ids(git, original, "main")
    if kind is Delegating:
        repo.close()


@pytest.mark.parametrize("version", [0, 2])
def test_no_filter_is_offered_that_would_not_be_applied(
    version: int, project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    url = serve(DictBackend({b"/": New(project)})) + "/"
    done = newest_git.run("-c", f"protocol.version={version}", "clone", "--bare",
                          "--filter=blob:none", url, tmp_path / "clone")  # fmt: skip
    assert b"filtering not recognized by server, ignoring" in done.stderr
    assert_sound(newest_git, tmp_path / "clone")
    handler = UploadPackHandler(DictBackend({b"/": New(project)}), ["/"], None)
    assert b"filter" not in handler.capabilities()


def test_what_it_raises_comes_out_and_the_client_is_told(
    project: Repo, serve: Callable[..., str], newest_git: Git, tmp_path: Path
) -> None:
    class Broken(New):
        def choose(self, *arguments: Any) -> Any:
            super().choose(*arguments)
            raise ZeroDivisionError("/srv/secret")

    url = serve(DictBackend({b"/": Broken(project)})) + "/"
    done = newest_git.run("clone", url, tmp_path / "clone", check=False)
    assert done.returncode == 128
    assert b"internal server error" in done.stderr
    assert b"secret" not in done.stderr
