"""What a result says about where it was made: enough to judge it, and no names of anybody's."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def described() -> dict[str, Any]:
    """The processor, how many, the memory, the system, and what else it did."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "memory GB": round(memory / 2**30),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load before": round(os.getloadavg()[0], 2),
    }


def without_folders(word: str) -> str:
    """A word of a command without the folders of whoever ran it."""
    option, equals, value = word.rpartition("=")
    return f"{option}{equals}{Path(value).name}" if "/" in value else word


def shown(path: Path | None, otherwise: str) -> str:
    """What to call a repository."""
    return otherwise if path is None else path.resolve().name
