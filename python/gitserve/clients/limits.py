"""How much of anything a server may send, and how long it may be silent.

In: nothing. Out: values with their reasons. A client trusts a server no more than a server does its
clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_TIMEOUT: Final = 300.0
"""Seconds of silence. Servers that keep the line alive speak every five; one that does not may
count objects for minutes."""

CONNECT_TIMEOUT: Final = 30.0
"""Seconds until a connection must stand."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Beyond it the dialogue ends with an error."""

    max_lines: int = 4_000_000
    """Of one section: the largest public servers show a million refs."""
    max_section_bytes: int = 512 << 20
    """Of one section, whatever its lines are."""
    max_report_bytes: int = 64 << 20
    """A line a pushed ref."""
    max_idle_packets: int = 1_000_000
    """Progress and keep-alive packets between two of data: at one in five seconds, two months."""
    max_pack_bytes: int = 0
    """Of a fetched pack; 0: as large as it is."""
