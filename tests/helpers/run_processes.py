"""Processes that a run has started, found by the tag in their environment."""

from __future__ import annotations

from contextlib import suppress

import psutil


def tagged(pid: int) -> list[str]:
    """Return the names of the processes of that driver's runs."""
    names = []
    for process in tagged_processes(pid):
        with suppress(psutil.Error):
            names.append(process.name())
    return names


def tagged_processes(pid: int) -> list[psutil.Process]:
    """Return the processes of that driver's runs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("GEARSHIFT_RUN", "").startswith(f"{pid}-"):
                found.append(process)
    return found
