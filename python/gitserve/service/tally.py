"""What one request cost, for the log."""

from __future__ import annotations


class Tally:
    """Counted while the request is served."""

    __slots__ = (
        "busy", "commanded", "objects", "pack_bytes", "refused", "remembered", "traced", "trouble",
        "updated", "warnings",
    )  # fmt: skip

    def __init__(self) -> None:
        self.objects = 0
        """Objects in the pack sent or taken."""
        self.pack_bytes = 0
        """Bytes of that pack."""
        self.remembered = ""
        """What became of the pack in the cache, for the log."""
        self.commanded = False
        """It was a push that named refs."""
        self.refused = 0
        """Ref updates answered with ``ng``."""
        self.updated = 0
        """Ref updates answered with ``ok``."""
        self.warnings: list[str] = []
        """Damaged files of the repository that could be left out: for the log."""
        self.traced: list[tuple[str, object]] = []
        """What was asked, when the request is traced."""
        self.busy = False
        """It was refused because too many waited."""
        self.trouble = ""
        """What went wrong although the dialogue came to its end: for the log, never for the
        client."""

    def outcome(self, result: str) -> str:
        """``result`` of the dialogue, and what else the log should say of the request."""
        if not self.trouble:
            return result
        if result == "ok" and not self.updated:
            return f"not done: {self.trouble}"
        return f"{result} ({self.trouble})"
