"""The rules of docs/POLICIES.md, as they stand there, on every road."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from gitserve.web import folder_application

from tests.support.gits import Git, refs
from tests.support.server import HOST, gitserve_programs, http_programs, running_server

pytestmark = pytest.mark.ours

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/POLICIES.md"
GITSERVE = str(Path(sys.executable).with_name("gitserve"))
ROADS = ["git", "inetd", "http", "stdio", "cgi", "own"]


@dataclass
class Site:
    """Some repositories, a policy, and how git gets at them."""

    git: Git
    base: Path
    rules: str
    url: Callable[[str], str]
    environ: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """Of git's, for roads that are programs."""

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        return self.git.run(*words, cwd=cwd, check=False, env=self.environ)

    def clone(self, name: str, target: Path) -> subprocess.CompletedProcess[bytes]:
        return self.run(
            "clone", "-q", *self.program("-u", "upload-pack"), self.url(name), str(target)
        )

    def ask(self, name: str) -> subprocess.CompletedProcess[bytes]:
        """What the server alone says; git looks at local folders itself."""
        if not self.options:
            return self.run("ls-remote", self.url(name))
        command = [GITSERVE, "upload-pack", f"--policy={self.rules}", self.url(name)]
        return subprocess.run(command, input=b"0000", capture_output=True, timeout=60, check=False)

    def push(self, work: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
        return self.run("push", *self.program("--receive-pack", "receive-pack"), *words, cwd=work)

    def program(self, option: str, service: str) -> tuple[str, ...]:
        if not self.options:
            return ()
        command = f"{GITSERVE} {service} --policy={shlex.quote(self.rules)}"
        return (f"{option}={command}",) if option[:2] == "--" else (option, command)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def _serving(application: object) -> Iterator[int]:
    server = make_server(HOST, 0, application, WSGIServer, _Quiet)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _cgi(base: Path, rules: str) -> object:
    """A web server's part: environment in, headers and content out."""

    def application(
        environ: dict[str, object], start_response: Callable[..., object]
    ) -> list[bytes]:
        length = int(str(environ.get("CONTENT_LENGTH") or 0))
        body = environ["wsgi.input"].read(length)  # type: ignore[attr-defined]
        kept = {key: value for key, value in environ.items() if isinstance(value, str)}
        done = subprocess.run(
            [GITSERVE, "http-backend"],
            input=body,
            capture_output=True,
            timeout=60,
            check=True,
            env={
                **os.environ, **kept, "CONTENT_LENGTH": str(len(body)),
                "GIT_PROJECT_ROOT": str(base), "GIT_HTTP_EXPORT_ALL": "1",
                "GITSERVE_POLICY": rules,
            },
        )  # fmt: skip
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        headers = [(name, value) for name, value in lines if name != "Status"]
        start_response(dict(lines).get("Status", "200 OK"), headers)
        return [content]

    return application


@contextmanager
def _site(road: str, git: Git, base: Path, rules: str, log: Path) -> Iterator[Site]:
    if road == "stdio":
        yield Site(git, base, rules, lambda name: f"{base}/{name}", options=("program",))
    elif road == "inetd":
        command = f"{GITSERVE} daemon --inetd --export-all --enable=receive-pack"
        command += f" --base-path={base} --log-destination=none --policy={rules}"
        allowed = {"GIT_ALLOW_PROTOCOL": "ext"}
        yield Site(git, base, rules, lambda name: f"ext::{command} %G/{name}", allowed)
    elif road in ("git", "http"):
        programs = http_programs() if road == "http" else gitserve_programs()
        options = ["--export-all", "--enable=receive-pack", f"--policy={rules}"]
        with running_server(programs, base, log, options) as server:
            server.scheme = road
            yield Site(git, base, rules, lambda name: server.url(base / name))
            server.assert_unharmed()
    else:
        if road == "cgi":
            application = _cgi(base, rules)
        else:
            from gitserve.transport.loadpolicy import load_policy

            policy = load_policy(rules)
            application = folder_application(str(base), export_all=True, push=True, policy=policy)
        with _serving(application) as port:
            yield Site(git, base, rules, lambda name: f"http://{HOST}:{port}/{name}")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The document's example."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    path = tmp_path / "rules.py"
    path.write_text(code)
    return path


@pytest.fixture
def base(newest_git: Git, tmp_path: Path) -> Path:
    """A public repository and a private one."""
    folder = tmp_path / "srv"
    work = tmp_path / "first"
    newest_git.run("init", "-q", "-b", "main", work)
    newest_git.run("commit", "-q", "--allow-empty", "-m", "one", cwd=work)
    newest_git.run("tag", "v1", cwd=work)
    for name in ("open.git", "private/closed.git"):
        newest_git.run("clone", "-q", "--bare", work, folder / name)
        newest_git.run("config", "http.receivepack", "true", cwd=folder / name)
        newest_git.run("symbolic-ref", "refs/heads/alias", "refs/heads/main", cwd=folder / name)
    return folder


@pytest.fixture(params=ROADS)
def site(
    request: pytest.FixtureRequest, newest_git: Git, base: Path, rules: Path, tmp_path: Path
) -> Iterator[Site]:
    with _site(request.param, newest_git, base, f"{rules}:Rules", tmp_path / "log") as made:
        yield made


def test_the_example(site: Site, tmp_path: Path) -> None:
    git, work, stored = site.git, tmp_path / "work", site.base / "open.git"
    assert site.clone("open.git", work).returncode == 0
    # as if it did not exist
    hidden, absent = (site.ask(name) for name in ("private/closed.git", "no.git"))
    assert hidden.returncode
    assert hidden.stderr.replace(b"private/closed.git", b"no.git") == absent.stderr

    git.run("commit", "-q", "--allow-empty", "-m", "two", cwd=work)
    before = refs(git, stored)
    for place in ("main", "alias"):  # the second is another name of the first
        refused = site.push(work, "origin", f"HEAD:refs/heads/{place}")
        assert refused.returncode
        assert b"main is for maintainers; push a branch of your own" in refused.stderr
    moved = site.push(work, "-f", "origin", "HEAD:refs/tags/v1", "HEAD:refs/heads/mine")
    assert b"tags stay where they are" in moved.stderr
    new = git.text("rev-parse", "HEAD", cwd=work)
    assert refs(git, stored) == before | {"refs/heads/mine": new}
    assert f"remote: refs/heads/mine is now at {new[:12]}".encode() in moved.stderr

    atomic = site.push(work, "--atomic", "origin", "HEAD:refs/heads/main", "HEAD:refs/heads/other")
    assert atomic.returncode
    git.run("commit", "-q", "--allow-empty", "-m", "DO NOT PUSH", cwd=work)
    unwanted = site.push(work, "origin", "HEAD:refs/heads/other", ":refs/heads/mine")
    assert b"says it is not to be pushed" in unwanted.stderr
    assert refs(git, stored) == before | {"refs/heads/mine": new}


def test_whom_the_web_server_let_in(site: Site, tmp_path: Path) -> None:
    """``REMOTE_USER`` counts where an operator sets it, not where a client might."""
    if not site.options:  # the user is the operator's to say: by sshd's command here
        site.environ["REMOTE_USER"] = "ann"
        assert site.clone("private/closed.git", tmp_path / "work").returncode
        return
    site.environ["REMOTE_USER"] = "ann"
    work = tmp_path / "work"
    assert site.clone("private/closed.git", work).returncode == 0
    site.git.run("commit", "-q", "--allow-empty", "-m", "two", cwd=work)
    assert site.push(work, "origin", "HEAD:main").returncode == 0


BROKEN = """
from gitserve.policy import Policy

class NoAnswer(Policy):
    def may_read(self, request): pass
    def may_write(self, request): pass

class Failing(Policy):
    def may_read(self, request): raise ValueError("secret")
    def may_write(self, request): return "yes"

class LateNo(Policy):
    def may_update(self, push, update): raise KeyError("secret")

class LateNothing(Policy):
    def before(self, push): pass

class AfterAll(Policy):
    def after(self, push): raise ValueError("secret")
"""


@pytest.mark.parametrize("road", ["git", "inetd", "http", "stdio"])
@pytest.mark.parametrize("name", ["NoAnswer", "Failing", "LateNo", "LateNothing", "AfterAll"])
def test_a_broken_policy_lets_nobody_in(
    road: str, name: str, newest_git: Git, base: Path, tmp_path: Path
) -> None:
    path = tmp_path / "broken.py"
    path.write_text(BROKEN)
    work, before = tmp_path / "first", refs(newest_git, base / "open.git")
    newest_git.run("commit", "-q", "--allow-empty", "-m", "two", cwd=work)
    with _site(road, newest_git, base, f"{path}:{name}", tmp_path / "log") as site:
        cloned = site.clone("open.git", tmp_path / "work")
        pushed = site.push(work, site.url("open.git"), "HEAD:refs/heads/mine")
    late = name not in ("NoAnswer", "Failing")
    assert (cloned.returncode == 0) == late
    assert (pushed.returncode == 0) == (name == "AfterAll")
    if name != "AfterAll":
        assert refs(newest_git, base / "open.git") == before
    if late and name != "AfterAll":
        assert b"declined by policy" in pushed.stderr
    if road != "stdio":  # there the log is the client's standard error, as with hooks
        assert b"secret" not in cloned.stderr + pushed.stderr
