"""What a push asks for: ref updates, the client's shallow commits, then its push options.

In: the lines of one section. Out: :class:`ReceiveRequest`. It must not know which refs exist, nor
which updates are allowed.

Git's document: gitprotocol-pack, "Reference Update Request and Packfile Transfer".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One ref update. Ids are hexadecimal digits; zeros stand for "does not exist"."""

    ref: bytes
    old: bytes
    new: bytes

    @property
    def is_create(self) -> bool:
        """The ref did not exist for the client."""
        return not self.old.strip(b"0")

    @property
    def is_delete(self) -> bool:
        """The ref shall go; such a command needs no object."""
        return not self.new.strip(b"0")
