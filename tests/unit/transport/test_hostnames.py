"""The names that clients call us by, and the folders made of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from gitserve.transport.daemonoptions import configured, parse
from gitserve.transport.exports import Exports, NotExported
from gitserve.transport.hostnames import HostNames, fixed_part


@pytest.mark.parametrize(
    ("said", "host", "port"),
    [
        (b"example.org", "example.org", "9418"),
        (b"EXAMPLE.org:99", "example.org", "99"),
        (b"example.org.", "example.org", "9418"),
        (b"[::1]:1234", "::1", "1234"),
        (b"[::1]", "::1", "9418"),
        (b"::1", "::1", "9418"),
        (b"", "", "9418"),
    ],
)
def test_names(said: bytes, host: str, port: str) -> None:
    names = HostNames(said)
    assert (names.host, names.port) == (host, port)


@pytest.mark.parametrize(
    "said",
    [b"..", b".", b"a/b", b"../x", b"a..b", b".hidden", b"a b", b"a\0b", b"a:x", b"[::1", b"[::1]x",
     b"a:1234567", b"x" * 300, b"\xff", b"%H"],
)  # fmt: skip
def test_names_that_are_none(said: bytes) -> None:
    if said == b".":
        assert HostNames(said).host == ""  # a name of the root alone: nothing is left
        return
    with pytest.raises(ValueError, match=r"a (host|port) that"):
        HostNames(said)


def test_interpolation() -> None:
    names = HostNames(b"127.0.0.1:99")
    assert names.interpolate("/srv/%H%D", "/a.git") == "/srv/127.0.0.1/a.git"
    assert names.interpolate("/%IP/%P/%%/%CH", "/x") == "/127.0.0.1/99/%/127.0.0.1"
    for template in ("/%x", "/%", "/%C"):
        with pytest.raises(ValueError, match="interpolated path"):
            names.interpolate(template, "/a")


def test_fixed_part() -> None:
    assert fixed_part("/srv/git/%H%D") == "/srv/git"
    assert fixed_part("/srv/git/x-%H%D") == "/srv/git"
    assert fixed_part("/%H%D") is None


def test_repositories_by_host(tmp_path: Path) -> None:
    repository = tmp_path / "srv/one.example/a.git"
    subprocess.run(["git", "init", "-q", "--bare", repository], check=True)
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "outside.git"], check=True)
    (tmp_path / "srv/link.example").symlink_to(tmp_path)
    exports = Exports(interpolated_path=f"{tmp_path}/srv/%H%D", export_all=True)
    assert exports.find(b"/a.git", HostNames(b"ONE.example:9418")).git_dir == str(repository)
    for host, path in (
        (b"two.example", b"/a.git"),
        (b"one.example", b"/b.git"),
        (b"link.example", b"/outside.git"),
    ):
        with pytest.raises(NotExported):
            exports.find(path, HostNames(host))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--timeout=3a"], "invalid timeout '3a', expecting a non-negative integer"),
        (["--init-timeout=-3"], "invalid init-timeout '-3', expecting a non-negative integer"),
        (["--max-connections=3a"], "invalid max-connections '3a', expecting an integer"),
        (["--inetd", "--port=1"], "--listen= and --port= are incompatible with --inetd"),
        (["--inetd", "--detach"], "--detach, --user and --group are incompatible with --inetd"),
    ],
)
def test_options_that_mean_nothing(words: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        configured(parse(words))


def test_where_the_log_goes() -> None:
    def destination(*words: str) -> str:
        return configured(parse(words))[0].log_destination

    assert destination() == "stderr"
    assert destination("--detach") == "syslog"
    assert destination("--inetd") == "syslog"
    assert destination("--syslog") == "syslog"
    assert destination("--inetd", "--log-destination=stderr") == "stderr"
    assert configured(parse(["--max-connections=-1"]))[0].connections.max_connections == 0
