"""The tokens of a request's cores, as a worker holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The tokens that one request holds.

    Attributes:
        slot: number of the request's application.
        unit: name of the unit.
        cpus: the kernel's numbers of the cores; empty on a GPU.
        ticket: number of this lease; no other lease has had it or will have it.
        start_s: board time at which the cores were taken.
        start_progress_ms: the unit's progress at that time.
        start_known_ms: the same, had nothing slowed it down (`Progress.known_ms`).
        start_core_j: dynamic energy of one core that is always busy, up to then (`UnitState.dynamic_j`).
        has_share: true if its network has a memory share of its own, and so a progress of its own.
    """

    slot: int
    unit: str
    cpus: tuple[int, ...]
    ticket: int
    start_s: float
    start_progress_ms: float
    start_known_ms: float
    start_core_j: float = math.nan
    has_share: bool = False
