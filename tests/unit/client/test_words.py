"""dulwich's words in ours: locations, wants, depths, ref moves, the shallow file."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitserve.client import (
    GitClient,
    HttpGitClient,
    LocalGitClient,
    SSHGitClient,
    StrangeHostname,
    TCPGitClient,
    get_transport_and_path,
    get_transport_and_path_from_url,
)
from gitserve.clients.asking import ask_wants, deepening_of, moves_of
from gitserve.errors import RepositoryError
from gitserve.repository.shallow import move_boundary
from gitserve.wire.deepening import Deepening
from gitserve.wire.ref_advertisement import RefAdvertisement

A, B, C = b"a" * 40, b"b" * 40, b"c" * 40
ZERO = b"0" * 40


@pytest.mark.parametrize(
    ("location", "kind", "path", "url"),
    [
        ("git://h/p%20q.git", TCPGitClient, "/p q.git", "git://h/p q.git"),
        ("git://h:99/p", TCPGitClient, "/p", "git://h:99/p"),
        ("git://[::1]:99/p", TCPGitClient, "/p", "git://[::1]:99/p"),
        ("ssh://me@h:22/~/p", SSHGitClient, "/~/p", "ssh://me@h:22/~/p"),
        ("git+ssh://h/p", SSHGitClient, "/p", "ssh://h/p"),
        ("me@h:p/q", SSHGitClient, "p/q", "ssh://me@h/p/q"),
        ("h:/p", SSHGitClient, "/p", "ssh://h/p"),
        ("https://u:s@h/p/q.git", HttpGitClient, "/p/q.git", "https://h/p/q.git"),
        ("http://h:8080/p/", HttpGitClient, "/p/", "http://h:8080/p"),
        ("file:///p/q", LocalGitClient, "/p/q", "file:///p/q"),
        ("/p/q", LocalGitClient, "/p/q", "file:///p/q"),
        ("./with:colon", LocalGitClient, "./with:colon", "file://./with:colon"),
    ],
)
def test_locations(location: str, kind: type[GitClient], path: str, url: str) -> None:
    client, found = get_transport_and_path(location, thin_packs=False)
    assert type(client) is kind
    assert found == path
    assert client.get_url(found) == url


def test_options_go_to_those_that_know_them() -> None:
    client, _ = get_transport_and_path_from_url(
        "ssh://h/p", username="me", password="x", key_filename="k", timeout=3.0
    )
    assert isinstance(client, SSHGitClient)
    assert (client.username, client.key_filename) == ("me", "k")
    assert isinstance(get_transport_and_path("git://h/p", username="me")[0], TCPGitClient)
    with pytest.raises(ValueError, match="unknown scheme"):
        get_transport_and_path_from_url("gopher://h/p")


@pytest.mark.parametrize("location", ["ssh://-oProxyCommand=x/p", "-oProxyCommand=x:p"])
def test_hosts_that_are_options(location: str) -> None:
    with pytest.raises(StrangeHostname):
        get_transport_and_path(location)


def test_wants() -> None:
    refs = {b"HEAD": A, b"refs/heads/x": A, b"refs/heads/y": B}
    assert ask_wants(lambda found: found.values(), refs, None) == (A, B)
    assert ask_wants(lambda found, depth: [found[b"HEAD"]] * depth, refs, 3) == (A,)
    assert ask_wants(lambda found, depth=None: [None, ZERO, C], refs, 1) == (C,)  # noqa: ARG005
    assert ask_wants(lambda *_: [B], refs, None) == (B,)
    with pytest.raises(ValueError, match="no object id"):
        ask_wants(lambda _: [b"main"], refs, None)


def test_deepening() -> None:
    assert deepening_of(None, None, None) == Deepening()
    assert deepening_of(3, None, None) == Deepening(3)
    assert deepening_of(None, "1970-01-01T00:01:00+00:00", ["x"]) == Deepening(0, 60, (b"x",))
    assert deepening_of(None, "77", None) == Deepening(0, 77)
    with pytest.raises(ValueError, match="negative"):
        deepening_of(-1, None, None)
    with pytest.raises(ValueError, match="Invalid isoformat"):
        deepening_of(None, "yesterday", None)


def test_moves() -> None:
    offer = RefAdvertisement({b"refs/heads/x": A, b"refs/heads/y": B})
    moves = moves_of(
        offer,
        {b"refs/heads/x": A, b"refs/heads/y": ZERO, b"refs/heads/z": C, b"refs/heads/0": ZERO},
    )
    assert [(c.ref, c.old, c.new) for c in moves.commands] == [(b"refs/heads/z", ZERO, C)]
    assert moves.impossible == {b"refs/heads/y": "remote does not support deleting refs"}
    with pytest.raises(ValueError, match="no object id"):
        moves_of(offer, {b"refs/heads/x": b"main"})


def test_shallow_file(tmp_path: Path) -> None:
    path = tmp_path / "shallow"
    move_boundary(str(tmp_path), (B, A), ())
    assert path.read_bytes() == A + b"\n" + B + b"\n"
    move_boundary(str(tmp_path), (C,), (A,))
    assert path.read_bytes() == B + b"\n" + C + b"\n"
    (tmp_path / "shallow.lock").touch()
    with pytest.raises(RepositoryError, match=r"shallow\.lock"):
        move_boundary(str(tmp_path), (), (B,))
    (tmp_path / "shallow.lock").unlink()
    move_boundary(str(tmp_path), (), (B, C))
    assert [path.name for path in tmp_path.iterdir()] == ["gitserve-locks"]
