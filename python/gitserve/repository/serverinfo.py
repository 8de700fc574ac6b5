"""What a client that only reads files needs to be told: which refs and packs there are.

In: a repository. Out: the lines of ``info/refs`` and ``objects/info/packs``, made now; or the two
files, for a web server that knows nothing of Git (``receive.updateServerInfo``). Git's documents:
git-update-server-info(1), gitrepository-layout(5).
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from gitserve._core import RefSnapshot, Snapshot
from gitserve.record import TYPE_CHECKING
from gitserve.repository.sharing import share, sharing

if TYPE_CHECKING:
    from gitserve.repository.native import NativeRepository

_PACK = re.compile(r"[a-z]+-(?:[0-9a-f]{40}|[0-9a-f]{64})\.pack\Z")


def ref_lines(refs: RefSnapshot, objects: Snapshot) -> bytes:
    """These refs, and what tags peel to."""
    lines: list[bytes] = []
    for name, object_id in refs.items():
        lines.append(b"%b\t%b\n" % (object_id, name))
        peeled = refs.peeled(name, objects)
        if peeled is not None and peeled != object_id:
            lines.append(b"%b\t%b^{}\n" % (peeled, name))
    return b"".join(lines)


def pack_lines(objects_dir: str) -> bytes:
    """The packs that are here and complete, newest first: that is where most clients look."""
    folder = os.path.join(objects_dir, "pack")
    found: list[tuple[float, str]] = []
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        names = set()
    for name in names:
        if _PACK.match(name) and name.removesuffix("pack") + "idx" in names:
            try:
                found.append((-os.stat(os.path.join(folder, name)).st_mtime, name))
            except FileNotFoundError:
                continue  # a repack has just removed it
    return b"".join(b"P %b\n" % name.encode() for _, name in sorted(found)) + b"\n"


def update_server_info(repository: NativeRepository) -> None:
    """Writes both files where they are not right already: every ref, hidden ones too, as git does.

    Raises OSError.
    """
    # refs first: what they name is in the packs that are looked for next
    refs = ref_lines(repository.all_refs.snapshot(), repository.objects.snapshot())
    code = sharing(repository.config)
    _replace(os.path.join(repository.common_dir, "info", "refs"), refs, code)
    packs = pack_lines(repository.objects_dir)
    _replace(os.path.join(repository.objects_dir, "info", "packs"), packs, code)


def _replace(path: str, content: bytes, code: int) -> None:
    with suppress(OSError), open(path, "rb") as file:
        if file.read(len(content) + 1) == content:
            return
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{path}.{os.urandom(6).hex()}"
    try:
        # the umask decides who may read it, where core.sharedRepository does not
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        share(temporary, code)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
