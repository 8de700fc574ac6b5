"""Repositories that choose themselves what is sent."""

from __future__ import annotations

from typing import Any


def serve_asking(*_arguments: Any) -> None:
    """Not there yet."""
    raise NotImplementedError
