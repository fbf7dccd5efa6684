"""The way in which long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, float, float], None]
"""Called with a task in words, how much of it is done and how much there is: `("export small", 3, 6)`."""


def no_progress(what: str, done: float, total: float) -> None:
    """Say nothing."""
