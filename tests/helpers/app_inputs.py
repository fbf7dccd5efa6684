"""What a decision knows of an application, for tests that change one figure of it."""

from __future__ import annotations

from scheduler.inputs import AppInputs


def make_inputs(**changes: float) -> AppInputs:
    """Return ten requests a second within 100 ms, nothing learned, but for the changes."""
    wants = {"target_ms": 100.0, "min_accuracy": 0.0, "weight": 1.0, "slo": 0.95, "rate_hz": 10.0}
    learned = {"service_ratio": 1.0, "margin": 0.05, "own_ratio": 1.0, "wait_ratio": 1.0}
    return AppInputs(**{**wants, **learned, **changes})
