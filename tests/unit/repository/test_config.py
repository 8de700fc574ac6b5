"""Configuration as git reads it: git itself is the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from gitserve.repository import files as files_module
from gitserve.repository.config import Config, ConfigError, ConfigFiles
from gitserve.repository.configenv import command_entries
from gitserve.repository.configsyntax import ConfigSyntaxError, parse

CLEAN = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}

GOOD = [
    "",
    "\n\n# nothing\n; here\n",
    "[core]\n\tbare = true\n",
    "[core] bare=false\n[CORE] Bare\n",
    '[remote "Ori.Gin"]\n url = a  b \n',
    '[a "q\\"u\\\\o\\te"]\nx=1',
    "[a.Sub.Two]\nx=1\n",
    '[a]\nx = one # comment\ny = two ; comment\nz = "# not ; one"\n',
    '[a]\nx = " lead" and "trail "  \n',
    "[a]\nx = one\\\n   two\\\nthree\ny=1\n",
    '[a]\nx = "in quotes\\\n goes on"\n',
    '[a]\nx = \\t\\n\\b\\\\\\"\ny=\n',
    "[a]\nx-y2 = 1\nx-y2 = 2\nX-Y2 = 3\n",
    "[a]\nx\n y \nz\n",
    "x = 1\n",
    "\ufeff[a]\nx = ä\n",
    "[a]\r\nx = 1\r\ny\r\n",
    "[a]x=1\n[b]y=2",
    "[a]\nx = a=b\n",
    "[a]\nx = 1 \\\n\n[b]y=2",
    "[a-b.]\nx=1\n",
    "[a]\nx = ''single''\n",
    '[a]\nx = ~/b\0c # d\ny = "\0"\nz=1\n',
]

BAD = [
    "[a]\nz # said\n",
    "[a\nx=1\n",
    '[a]\nx = "open\n',
    "[a]\nx = \\q\n",
    "[a b]\nx=1\n",
    '[a "b]\nx=1\n',
    '[a "b" ]\nx=1\n',
    "[a]\n1x = 1\n",
    "[a]\nx y = 1\n",
    "[a]\n= 1\n",
    "[a_b]\nx=1\n",
    "[]\nx=1\n",
    "[a]\nx_y = 1\n",
]


def git_list(path: Path) -> list[tuple[str, str | None]]:
    out = subprocess.run(
        ["git", "config", "--file", str(path), "--list", "-z"],
        capture_output=True,
        env=CLEAN,
        check=True,
    ).stdout.decode()
    pairs: list[tuple[str, str | None]] = []
    for record in out.split("\0")[:-1]:
        key, newline, value = record.partition("\n")
        pairs.append((key, value if newline else None))
    return pairs


@pytest.mark.parametrize("text", GOOD)
def test_reads_what_git_reads(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    assert [(key, value) for key, value, _ in parse(text)] == git_list(path)


@pytest.mark.parametrize("text", BAD)
def test_refuses_what_git_refuses(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(text.encode())
    judged = subprocess.run(
        ["git", "config", "--file", str(path), "--list"], capture_output=True, env=CLEAN
    )
    assert judged.returncode != 0
    with pytest.raises(ConfigSyntaxError):
        parse(text)


def read(path: Path, environ: dict[str, str] | None = None) -> Config:
    env = {"GIT_CONFIG_NOSYSTEM": "1", **(environ or {})}
    return ConfigFiles(common_dir=str(path), environ=env).current()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repo.git"
    subprocess.run(["git", "init", "-q", "--bare", str(path)], env=CLEAN, check=True)
    return path


def test_types(repository: Path) -> None:
    (repository / "config").write_text(
        "[a]\nn=2k\nm = 3M\ng=1g\nneg=-5\nhex=0x10\nyes=YeS\noff=OFF\nbare\nempty=\nnum=7\n"
        "bad=maybe\npath=~/x\nmany=1\nmany=2\n"
    )
    config = read(repository)
    assert [config.get_int(f"a.{k}") for k in ("n", "m", "g", "neg", "hex")] == [
        2048,
        3 << 20,
        1 << 30,
        -5,
        16,
    ]
    assert [config.get_bool(f"a.{k}") for k in ("yes", "off", "bare", "empty", "num")] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert config.get_bool("a.unset", True)
    assert config.get_optional_bool("a.unset") is None
    assert config.get_path("a.path") == os.path.expanduser("~/x")
    assert config.get_all("a.many") == ["1", "2"]
    assert config.get("a.many") == "2"


def test_a_wrong_value_names_file_and_line(repository: Path) -> None:
    (repository / "config").write_text("[a]\n\n\tbad = maybe\n\tnone\n\tbig = 99999999999g\n")
    config = read(repository)
    where = f"in file {repository}/config at line 3"
    with pytest.raises(ConfigError, match="bad boolean config value 'maybe' for 'a.bad' " + where):
        config.get_bool("a.bad")
    with pytest.raises(ConfigError, match="bad numeric"):
        config.get_int("a.bad")
    with pytest.raises(ConfigError, match="bad numeric"):
        config.get_int("a.big")
    with pytest.raises(ConfigError, match=r"missing value for 'a\.none'"):
        config.get_all("a.none")
    (repository / "config").write_text("[a\n")
    with pytest.raises(ConfigError, match=f"bad config line 1 in file {repository}/config"):
        read(repository)


def test_levels_rank_as_in_git(repository: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config/git").mkdir(parents=True)
    (tmp_path / "system").write_text("[x]\na=system\nb=system\nc=system\nd=system\ne=system\n")
    (home / ".config/git/config").write_text("[x]\nb=xdg\nc=xdg\nd=xdg\ne=xdg\n")
    (home / ".gitconfig").write_text("[x]\nc=home\nd=home\ne=home\n")
    (repository / "config").write_text("[x]\nd=repo\ne=repo\n[extensions]\nworktreeConfig\n")
    (repository / "config.worktree").write_text("[x]\nf=worktree\n")
    env = {
        "HOME": str(home),
        "GIT_CONFIG_SYSTEM": str(tmp_path / "system"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "X.E",
        "GIT_CONFIG_VALUE_0": "count",
        "GIT_CONFIG_PARAMETERS": "'x.g'='it'\\''s' 'x.h=old' 'x.i'=",
    }
    config = ConfigFiles(common_dir=str(repository), environ=env).current()
    assert [config.get(f"x.{k}") for k in "abcdefgh"] == [
        "system",
        "xdg",
        "home",
        "repo",
        "count",
        "worktree",
        "it's",
        "old",
    ]
    assert config.get_bool("x.i")
    hidden = {**env, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    config = ConfigFiles(common_dir=str(repository), environ=hidden).current()
    assert [config.get(f"x.{k}") for k in "abcd"] == [None, None, None, "repo"]


def test_parameters_as_git_writes_them(tmp_path: Path) -> None:
    """git hands ``-c`` on to the alias's process; both gits' quoting is what we read."""
    seen = tmp_path / "seen"
    subprocess.run(
        [
            "git",
            "-c",
            "a.b=it's = fine!",
            "-c",
            "a.c",
            "-c",
            "a.X Y.d=",
            "-c",
            f"alias.tell=!printf %s \"$GIT_CONFIG_PARAMETERS\" >'{seen}'",
            "tell",
        ],
        env=CLEAN,
        check=True,
        cwd=tmp_path,
    )
    pairs = command_entries({"GIT_CONFIG_PARAMETERS": seen.read_text()})
    assert pairs[:3] == [("a.b", "it's = fine!"), ("a.c", None), ("a.X Y.d", "")]


@pytest.mark.parametrize(
    "environ",
    [
        {"GIT_CONFIG_COUNT": "x"},
        {"GIT_CONFIG_COUNT": "99999999"},
        {"GIT_CONFIG_COUNT": "1"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "nodot", "GIT_CONFIG_VALUE_0": "1"},
        {"GIT_CONFIG_PARAMETERS": "a.b=1"},
        {"GIT_CONFIG_PARAMETERS": "'a.b=1"},
    ],
)
def test_broken_environment(environ: dict[str, str], repository: Path) -> None:
    with pytest.raises(ConfigError):
        read(repository, environ)


def test_includes(repository: Path) -> None:
    (repository / "more").write_text("[x]\na=more\nb=more\n")
    (repository / "mine").write_text("[x]\nc=mine\n")
    (repository / "branchy").write_text("[x]\nd=branch\n")
    (repository / "config").write_text(
        "[x]\na=first\n[include]\npath = more\n[x]\nb=last\n[include]\npath = absent\n"
        f'[includeIf "gitdir:{repository.parent}/"]\npath = mine\n'
        '[includeIf "gitdir:elsewhere/"]\npath = absurd\n'
        '[includeIf "onbranch:ma*"]\npath = branchy\n'
    )
    (repository / "HEAD").write_text("ref: refs/heads/main\n")
    config = read(repository)
    assert [config.get(f"x.{k}") for k in "abcd"] == ["more", "last", "mine", "branch"]
    (repository / "more").write_text("[include]\npath = more\n")
    with pytest.raises(ConfigError, match="exceeded maximum include depth"):
        read(repository)


def test_includes_by_remote(repository: Path) -> None:
    """The remote may be named behind the condition, or on another level."""
    (repository / "theirs").write_text("[x]\na=theirs\n[include]\npath = deeper\n")
    (repository / "deeper").write_text("[x]\nb=deeper\n")
    patterns = ["https://example.org/**", "https://*/a/b", "https://*", "**/b", "ssh://**", "*"]
    condition = '[includeIf "hasconfig:remote.*.url:%s"]\npath = theirs\n'
    for remote in ("https://example.org/a/b", "ssh://x/y", "b", ""):
        for pattern in patterns:
            (repository / "config").write_text(
                "[core]\nbare = true\n[x]\na=first\n" + condition % pattern
                + f'[remote "o"]\nurl = {remote}\n[remote]\nurl = x\n'
            )  # fmt: skip
            config = read(repository)
            judged = subprocess.run(
                ["git", "config", "x.a"], capture_output=True, text=True, env=CLEAN, cwd=repository
            )
            assert config.get("x.a") == judged.stdout.strip(), (remote, pattern)
            assert config.get("x.b") == ("deeper" if config.get("x.a") == "theirs" else None)
    # what decides must not depend on what is decided
    (repository / "config").write_text(condition % "**" + '[remote "o"]\nurl = a/b\n')
    (repository / "deeper").write_text('[remote "other"]\nurl = x\n')
    with pytest.raises(ConfigError, match="remote URLs cannot be configured in file"):
        read(repository)


def test_is_read_again_only_when_a_file_changes(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "RACY_NS", 0)  # as if they had been written long ago
    (repository / "included").write_text("[x]\na=1\n")
    (repository / "config").write_text("[include]\npath=included\npath=later\n")
    files = ConfigFiles(common_dir=str(repository), environ={"GIT_CONFIG_NOSYSTEM": "1"})
    first = files.current()
    assert files.current() is first
    (repository / "later").write_text("[x]\na=2\n")
    assert files.current().get("x.a") == "2"


def test_a_file_just_written_is_not_trusted(repository: Path) -> None:
    """Two writes within one tick of the clock leave the same size and time."""
    files = ConfigFiles(common_dir=str(repository), environ={"GIT_CONFIG_NOSYSTEM": "1"})
    path = repository / "config"
    path.write_text("[x]\na=1\n")
    stamp = os.stat(path)
    assert files.current().get("x.a") == "1"
    with path.open("r+") as file:
        file.write("[x]\na=2\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert files.current().get("x.a") == "2"
