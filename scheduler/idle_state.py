"""The facts of a sleep state that a core falls into. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class IdleState:
    """A sleep state that a core falls into once it has been idle for long enough.

    With `IdleState(residency_us=500, exit_us=80)` a core sleeps after 500 µs, and the next request on it begins 80 µs
    late.

    Attributes:
        residency_us: time that the core has been idle when it falls into the state, in µs.
        exit_us: time that it takes to wake up, in µs; the next request on the core begins so much later.
    """

    residency_us: float
    exit_us: float
