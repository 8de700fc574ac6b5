"""What a push hands to programs: nothing but what git's documents say, and nothing in a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gitserve.transport.hostnames import HostNames

from tests.interop.test_hooks import add_hook
from tests.interop.test_http_backend import PUSH, ours
from tests.support.by_hand import with_trailer
from tests.support.gits import Git, refs
from tests.support.raw import FLUSH, pkt
from tests.support.server import Programs

pytestmark = pytest.mark.ours

ZERO = b"0" * 40
SEEN = "#!/bin/sh\nenv -0 >seen\n"


@pytest.fixture
def repository(original: Path, tmp_path: Path, newest_git: Git) -> Path:
    """Takes push options, and writes down what its hook's environment is."""
    path = tmp_path / "hooked.git"
    shutil.copytree(original, path)
    newest_git.run("config", "receive.advertisePushOptions", "true", cwd=path)
    add_hook(path, "pre-receive", SEEN)
    return path


def deletion(git: Git, repository: Path, *options: bytes) -> bytes:
    """A push that needs no pack."""
    old = git.text("rev-parse", "refs/heads/side", cwd=repository).encode()
    line = b"%b %b refs/heads/side\0report-status delete-refs push-options\n" % (old, ZERO)
    return pkt(line) + FLUSH + b"".join(map(pkt, options)) + FLUSH


def push(
    programs: Programs, repository: Path, request: bytes, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*programs.receive_pack.split(), repository], input=request, capture_output=True,
        timeout=60, cwd=repository.parent, env={**os.environ, **environ},
    )  # fmt: skip


def seen(repository: Path) -> dict[bytes, bytes]:
    content = (repository / "seen").read_bytes()
    pairs = [word.partition(b"=") for word in content.split(b"\0") if word]
    return {name: value for name, _, value in pairs}


OPTIONS = [
    b"plain", b"; touch pwned", b"$(touch pwned)", b"`touch pwned`", b"a\nb", b"a\r\nGIT_X=y",
    b"-x", b"--exec=touch", b"=", b"%s%n", b"'\"\\", b"\x1b[31m", b"\xff\xfe", b"x" * 60_000,
]  # fmt: skip


def test_push_options_are_values(programs: Programs, repository: Path, newest_git: Git) -> None:
    done = push(programs, repository, deletion(newest_git, repository, *OPTIONS))
    assert b"ok refs/heads/side" in done.stdout, done
    environ = seen(repository)
    assert environ[b"GIT_PUSH_OPTION_COUNT"] == b"%d" % len(OPTIONS)
    told = [environ[b"GIT_PUSH_OPTION_%d" % number] for number in range(len(OPTIONS))]
    assert told == OPTIONS
    assert b"GIT_X" not in environ
    assert not list(repository.parent.rglob("pwned"))


@pytest.mark.parametrize("options", [[b"a\0b"], [b"x" * 60_000] * 200], ids=["NUL", "12 MB"])
def test_options_that_no_program_could_be_told(
    programs: Programs, repository: Path, newest_git: Git, options: list[bytes]
) -> None:
    """A hook that cannot hear them is not left out: the push is refused."""
    before = refs(newest_git, repository)
    done = push(programs, repository, deletion(newest_git, repository, *options))
    assert b"ng refs/heads/side pre-receive hook declined" in done.stdout, done
    assert b"Traceback" not in done.stderr
    assert not (repository / "seen").exists()
    assert refs(newest_git, repository) == before


FORGED = {
    "GIT_DIR": "/elsewhere",
    "GIT_WORK_TREE": "/elsewhere",
    "GIT_INDEX_FILE": "/elsewhere/index",
    "GIT_COMMON_DIR": "/elsewhere",
    "GIT_QUARANTINE_PATH": "/elsewhere",
    "GIT_PREFIX": "elsewhere/",
    "GIT_PUSH_OPTION_COUNT": "7",
    "GIT_PUSH_OPTION_6": "forged",
    "GIT_PUSH_CERT": "forged",
    "GIT_PUSH_CERT_STATUS": "G",
    "GIT_PUSH_CERT_SIGNER": "Somebody Else",
    "GIT_PUSH_CERT_NONCE_STATUS": "OK",
}


def test_the_environment_of_whoever_connects(
    programs: Programs, repository: Path, newest_git: Git
) -> None:
    """Over ssh it may be the client's (``AcceptEnv``); what only a push may say is not taken."""
    request = deletion(newest_git, repository, b"mine")
    done = push(programs, repository, request, **FORGED, HARMLESS="yes")
    assert b"ok refs/heads/side" in done.stdout, done
    environ = seen(repository)
    assert (environ[b"HARMLESS"], environ[b"GIT_DIR"]) == (b"yes", b".")
    assert (environ[b"GIT_PUSH_OPTION_COUNT"], environ[b"GIT_PUSH_OPTION_0"]) == (b"1", b"mine")
    kept = {name for name in FORGED if environ.get(name.encode()) == FORGED[name].encode()}
    assert not kept
    assert not [name for name in environ if name.startswith(b"GIT_PUSH_CERT")]


def test_headers_are_no_settings(repository: Path, newest_git: Git) -> None:
    """CGI puts headers into variables, and ``Proxy:`` into one that programs obey."""
    body = deletion(newest_git, repository, b"mine")
    done = ours(
        {
            **PUSH, "GIT_PROJECT_ROOT": str(repository.parent), "GIT_HTTP_EXPORT_ALL": "",
            "PATH_INFO": f"/{repository.name}/git-receive-pack", "REMOTE_USER": "somebody",
            "CONTENT_LENGTH": str(len(body)), "HTTP_PROXY": "http://evil.example",
            "HTTP_GIT_DIR": "/elsewhere",
        },
        body,
    )  # fmt: skip
    assert b"ok refs/heads/side" in done.content, done.log
    environ = seen(repository)
    assert b"HTTP_PROXY" not in environ
    assert environ[b"GIT_COMMITTER_NAME"] == b"somebody"
    assert environ[b"GIT_DIR"] == b"."


@pytest.mark.parametrize(
    "ref", [b"refs/heads/-x", b"refs/heads/$(touch${IFS}pwned)", b"refs/heads/;x"]
)
def test_names_of_refs_are_arguments(
    programs: Programs, repository: Path, newest_git: Git, ref: bytes
) -> None:
    """They begin with ``refs/``, so none is an option; no shell ever reads them."""
    add_hook(repository, "update", '#!/bin/sh\nprintf "%s\\n" "$#" "$1" >told\n')
    tip = newest_git.text("rev-parse", "main", cwd=repository).encode()
    empty_pack = with_trailer(b"PACK\0\0\0\x02\0\0\0\0")
    line = b"%b %b %b\0report-status\n" % (ZERO, tip, ref)
    done = push(programs, repository, pkt(line) + FLUSH + empty_pack)
    assert b"ok " + ref in done.stdout, done
    assert (repository / "told").read_bytes() == b"3\n" + ref + b"\n"
    assert not list(repository.parent.rglob("pwned"))


@pytest.mark.parametrize("host", [b"-x", b"--help", b"-rf:80"])
def test_a_host_is_no_option(host: bytes) -> None:
    """``--access-hook`` is called with the name that the client calls us by."""
    with pytest.raises(ValueError, match="a host that"):
        HostNames(host)


def test_programs_named_by_a_command_line(
    programs: Programs, repository: Path, tmp_path: Path
) -> None:
    """Whoever may only name a repository cannot name an option that is not ours."""
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ["--upload-pack=touch pwned"], ["-c", "core.hooksPath=x"], ["--exec=touch pwned"],
        ["-utouch pwned"],
    ):  # fmt: skip
        for program in (programs.upload_pack, programs.receive_pack):
            done = subprocess.run(
                [*program.split(), *words, repository], input=FLUSH, capture_output=True,
                timeout=60, cwd=tmp_path,
            )  # fmt: skip
            assert done.returncode == 129
            assert not done.stdout
    assert sorted(tmp_path.rglob("*")) == before
