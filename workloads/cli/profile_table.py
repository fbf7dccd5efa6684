"""The table that `gearshift profile` prints: a line for each network and number of cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.profile import Profile, ServiceTime

_SHOWN = 3
"""Networks that a reason names; of more it says how many there are."""


def profile_lines(profile: Profile) -> list[str]:
    """Return a line for each network in each form, such as `small  1 core(s)  onnxruntime  p50 1.2  p95 1.4 ms  …`.

    What makes figures doubtful follows, a line each.
    """
    lines = []
    for rung in profile.rungs:
        accuracy = "unknown" if rung.accuracy is None else f"{rung.accuracy:.4f} ({rung.accuracy_source})"
        for time in rung.times:
            quantiles = "  ".join(f"p{100 * share:.0f} {time.quantile_ms(share):.3f}" for share in (0.5, 0.95))
            by_size = "" if time.base_ms is None else f"   {time.base_ms:.4g} + {time.per_size_ms:.4g} · size ms"
            where = "GPU" if time.kind == "gpu" else f"{time.cores} core(s)"
            lines.append(
                f"{rung.subnet:20} {where:9}  {time.engine:12}  {quantiles} ms{by_size}   accuracy {accuracy}   "
                f"activity {_activity(time)}"
            )
    return [*lines, *(f"- warning: {warning}" for warning in profile.warnings)]


def reason_lines(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a line for each reason why activities were not measured, with the networks that it is of."""
    lines = []
    for why, where in reasons.items():
        named = ", ".join(where[:_SHOWN]) + (f" and {len(where) - _SHOWN} more" if len(where) > _SHOWN else "")
        lines.append(f"- activity not measured: {why}: {named}")
    return lines


def _activity(time: ServiceTime) -> str:
    error = "" if time.activity_error is None else f" ± {time.activity_error:.3f}"
    return f"{time.activity:.3g}{error} ({time.activity_source})"
