"""What becomes of the server's process before it serves: another user, no terminal, a log.

In: the operator's options. Out: nothing, or a reason in words. Implements ``--user``, ``--group``,
``--detach`` and the end by a signal, as git-daemon(1) does them.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

import gitserve
from gitserve.record import Record


class Credentials(Record):
    """Whom to become."""

    user: str
    uid: int
    gid: int


def credentials(user: str | None, group: str | None) -> Credentials | None:
    """Raises ValueError for names that nobody has."""
    import grp
    import pwd

    if user is None:
        if group is not None:
            raise ValueError("--group supplied without --user")
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ValueError(f"user not found - {user}") from None
    gid = entry.pw_gid
    if group is not None:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise ValueError(f"group not found - {group}") from None
    return Credentials(entry.pw_name, entry.pw_uid, gid)


def become(wanted: Credentials) -> None:
    """Gives up what this process may do beyond that user. Raises OSError."""
    try:
        os.initgroups(wanted.user, wanted.gid)
        os.setgid(wanted.gid)
        os.setuid(wanted.uid)
    except OSError as error:
        raise OSError(error.errno, f"cannot drop privileges: {error.strerror}") from error
    # modules are loaded when they are first needed: a server would begin, and fail later
    for file in (os.__file__, gitserve.__file__):
        if not os.access(file, os.R_OK):
            reason = f"user {wanted.user} cannot read {os.path.dirname(file)}, which serving needs"
            raise OSError(errno.EACCES, reason)


def detach() -> None:
    """Goes on in a process of its own session; the one that was called ends here."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


def end_by(sign: int) -> None:
    """Ends this process by the signal that stopped it, so that its parent sees which."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(sign, signal.SIG_DFL)
    os.kill(os.getpid(), sign)
