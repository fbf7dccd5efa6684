"""Processes that a run has started, found by the tag in their environment."""

from __future__ import annotations

import psutil


def tagged(pid: int) -> list[str]:
    """Return the names of the processes of that driver's runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("GEARSHIFT_RUN", "").startswith(f"{pid}-"):
                found.append(process.name())
        except psutil.Error:
            continue
    return found
