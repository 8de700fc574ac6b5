"""dulwich's source distribution: its own tests, and its tutorial, neither of which it installs.

    python tests/parity/dulwich_source.py

In: the pin of ``requirements/dev.txt``, version and hashes, the same that is installed. Out: the
unpacked folder; downloaded once, by pip, beside the environment that runs this (``make`` does so
when it makes that), or the one that ``$DULWICH_SOURCE`` names.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parents[2] / "requirements" / "dev.txt"


def source() -> Path:
    """The folder with ``tests`` and ``docs`` in it."""
    named = os.environ.get("DULWICH_SOURCE")
    if named:
        return Path(named).resolve()
    requirement = pinned()
    cache = Path(sys.prefix) / "dulwich-source"
    folder = cache / requirement.split()[0].replace("==", "-")
    cache.mkdir(exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            download(requirement, cache)
    return folder


def pinned() -> str:
    """dulwich's requirement, with its hashes, as it stands in the lock file."""
    found = re.search(r"^dulwich==\S+(?: \\\n +--hash=\S+)+", LOCK.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{LOCK} does not pin dulwich")
    return found[0]


def download(requirement: str, cache: Path) -> None:
    """pip checks the hash; what it would build it asks of the locked setuptools, without Rust."""
    with tempfile.TemporaryDirectory(dir=cache) as place:
        wanted = Path(place, "requirement.txt")
        wanted.write_text(requirement + "\n")
        subprocess.run(
            [
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                "--no-deps", "--no-build-isolation", "--no-binary=dulwich", "--require-hashes",
                "-r", str(wanted), "-d", place,
            ],
            env={**os.environ, "PURE": "1"},
            check=True,
        )  # fmt: skip
        (packed,) = Path(place).glob("*.tar.gz")
        with tarfile.open(packed) as archive:
            archive.extractall(place, filter="data")
        unpacked = packed.with_suffix("").with_suffix("")
        unpacked.rename(cache / unpacked.name)


if __name__ == "__main__":
    print(source())
