"""The reasons to doubt figures that were measured on this machine: it stalled, or others used it."""

from __future__ import annotations

from workloads.report.table import milliseconds, share
from workloads.results.summary import HostSummary

_BUSY_CPUS = 0.2
"""Number of CPUs kept busy by other processes from which on measured latencies are called doubtful."""


def host_warnings(host: HostSummary, others: float) -> list[str]:
    """Return a sentence for each reason; none where the machine was at rest.

    Args:
        host: how much the machine stalled meanwhile.
        others: mean number of CPUs that other processes kept busy meanwhile.
    """
    warnings = []
    if host.void:
        warnings.append(
            f"Measured figures are void, host disturbed: it stalled {share(host.stalled_share)} of the time, "
            f"up to {milliseconds(host.stall_ms_max)} ms."
        )
    if others > _BUSY_CPUS:
        warnings.append(
            f"Measured figures are doubtful: other processes kept {others:.1f} CPUs busy meanwhile. The "
            "networks ran in turns, but the longer ones suffer more. Measure again at rest."
        )
    return warnings


def host_words(host: HostSummary, others: float) -> str:
    """Return the beginning of a sentence on how the machine was, such as `The host stalled 0.1 % of the time, …`."""
    return (
        f"The host stalled {share(host.stalled_share)} of the time, at most {milliseconds(host.stall_ms_max)} ms at "
        f"once, and other processes kept {others:.2f} CPUs busy"
    )
