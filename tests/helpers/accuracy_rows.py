"""Rows of a table of accuracies, as `--accuracy table:FILE` takes them."""

from __future__ import annotations

from supernets.ofa.space import Architecture


def accuracy_row(architecture: Architecture, resolution: int, accuracy: float, **more: str) -> dict[str, object]:
    """Return the row of one sub-network at one resolution."""
    return {
        "kernel": list(architecture.kernel),
        "expand": list(architecture.expand),
        "depth": list(architecture.depth),
        "resolution": resolution,
        "accuracy": accuracy,
        **more,
    }
