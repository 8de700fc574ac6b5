"""What one request cost, for the log."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counted while the request is served."""

    objects: int = 0
    """Objects in the pack sent or taken."""
    pack_bytes: int = 0
    """Bytes of that pack."""
    commanded: bool = False
    """It was a push that named refs."""
    refused: int = 0
    """Ref updates answered with ``ng``."""
    updated: int = 0
    """Ref updates answered with ``ok``."""
    warnings: list[str] = field(default_factory=list)
    """Damaged files of the repository that could be left out: for the log."""
    trouble: str = ""
    """What went wrong although the dialogue came to its end: for the log, never for the client."""

    def outcome(self, result: str) -> str:
        """``result`` of the dialogue, and what else the log should say of the request."""
        if not self.trouble:
            return result
        if result == "ok" and not self.updated:
            return f"not done: {self.trouble}"
        return f"{result} ({self.trouble})"
