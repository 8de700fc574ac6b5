"""Who else may use what is written into a repository (``core.sharedRepository`` of ``git-config``).

In: the configuration. Out: one number, which the core takes: 0 where the umask decides, a mode to
be added to what it lets through, or, below 0, the only mode there is.
"""

from __future__ import annotations

import os

from gitserve.errors import RepositoryError
from gitserve.record import TYPE_CHECKING

if TYPE_CHECKING:
    from gitserve.repository.config import Config

KEY = "core.sharedrepository"
GROUP = 0o660
EVERYBODY = 0o664
_WORDS = {"umask": 0, "group": GROUP, "all": EVERYBODY, "world": EVERYBODY, "everybody": EVERYBODY}
_OLD = {0: 0, 1: GROUP, 2: EVERYBODY}
"""What numbers meant before they were modes."""


def sharing(config: Config) -> int:
    """See above. Raises RepositoryError for a mode that keeps the owner out."""
    if KEY not in config:
        return 0
    value = config.get(KEY)
    if value is not None and value in _WORDS:
        return _WORDS[value]
    try:
        mode = int(value or "", 8)
    except ValueError:
        return GROUP if config.get_bool(KEY) else 0
    if mode in _OLD:
        return _OLD[mode]
    if mode & 0o600 != 0o600:
        raise RepositoryError(
            f"problem with core.sharedRepository filemode value (0{mode:03o}).\n"
            "The owner of files must always have read and write permissions."
        )
    return -(mode & 0o666)


def share(path: str, code: int) -> None:
    """Gives a file that has just been made its mode."""
    if not code:
        return
    made = os.stat(path).st_mode & 0o7777
    os.chmod(path, made | code if code > 0 else -code)
