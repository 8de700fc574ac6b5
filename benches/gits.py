"""Running git, without anybody's configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def clean_environment() -> dict[str, str]:
    """For programs that know nothing of the user; and keep what they have compiled, as they do
    unless somebody forbids it."""
    return {
        **{name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"},
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


def git(git_path: str, *arguments: str | Path, cwd: Path, stdin: bytes = b"") -> bytes:
    """Runs git; what it prints."""
    done = subprocess.run(
        [git_path, *arguments], cwd=cwd, input=stdin, capture_output=True, env=clean_environment()
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-2000:]
        raise RuntimeError(f"git {' '.join(map(str, arguments))}: {said}")
    return done.stdout
