"""The machine that a board agent drives: where its files are, and where gearshift keeps what must outlive a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from actors.affinity import Affinity, SystemAffinity
from actors.agent.devices.nvml_library import Nvml, open_nvml
from actors.agent.devices.sysfs import Tree

_SHARED_MEMORY = Path("/dev/shm")
_ROOTS = Path("/run/gearshift")
_OTHERS = "gearshift-board-"
"""How the directory of a user who is not root is called; his number follows."""


def _state_directory() -> Path:
    """Return this user's directory; both places are emptied by a reboot, which puts every knob back by itself."""
    if os.geteuid() == 0:
        return _ROOTS
    # The session reaps `gearshift-TAG` of dead runs; this is no such name.
    base = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else Path("/tmp")
    return base / f"{_OTHERS}{os.geteuid()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A machine: this one, unless told otherwise.

    Attributes:
        tree: the kernel's files.
        affinity: the kernel's masks of threads.
        state: directory for the journal of what was found; made when it is needed.
        nvml: gives its NVML, or None where it has no NVIDIA driver.
    """

    tree: Tree = field(default_factory=Tree)
    affinity: Affinity = field(default_factory=SystemAffinity)
    state: Path = field(default_factory=_state_directory)
    nvml: Callable[[], Nvml | None] = open_nvml


def other_states(machine: Machine) -> list[Path]:
    """Return the directories of other users in which there is a journal."""
    there = [_ROOTS, *(path for base in (_SHARED_MEMORY, Path("/tmp")) for path in sorted(base.glob(f"{_OTHERS}*")))]
    return [path for path in there if path != machine.state and any(path.glob("journal-*"))]
