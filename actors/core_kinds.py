"""The kinds of a machine's cores, as far as its kernel tells them apart: big and little, P and E.

Times that were measured on one kind say nothing of another, so a stored profile is found again by it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from actors.agent.devices.sysfs import Tree, cpu_list

_CPU = "sys/devices/system/cpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreKind:
    """What the kernel tells of a core; two cores of which it tells the same are of one kind.

    Attributes:
        model: implementer and part of an Arm core, or the model's name of an x86 processor; empty where unknown.
        capacity: what it gets through, 1024 for the fastest (`cpu_capacity`); None where the kernel does not say.
        top_khz: its highest clock (`cpuinfo_max_freq`); None where the kernel sets no clocks.
        pmu: the kernel's name of its counters on a hybrid x86 processor, `cpu_core` or `cpu_atom`; else empty.
    """

    model: str
    capacity: int | None
    top_khz: int | None
    pmu: str

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Larger for a faster kind, of two on one machine."""
        return self.pmu != "cpu_atom", self.capacity or 0, self.top_khz or 0

    def __str__(self) -> str:
        clock = f"{self.top_khz / 1000:g} MHz" if self.top_khz else ""
        capacity = "" if self.capacity is None else f"capacity {self.capacity}"
        return ", ".join(filter(None, (self.model or "unknown core", self.pmu, capacity, clock)))


def core_kinds(cpus: Sequence[int], tree: Tree | None = None) -> dict[int, CoreKind]:
    """Return the kind of each CPU's core.

    On an RK3588 CPU 0 is `implementer 0x41 part 0xd05, capacity 414, 1800 MHz`, and CPU 4 is another kind.

    Args:
        cpus: numbers of CPUs.
        tree: the machine's files; None for this machine's.
    """
    tree = tree or Tree()
    models = _models(tree)
    hybrid = {cpu: pmu for pmu in ("cpu_core", "cpu_atom") for cpu in _listed(tree, f"sys/devices/{pmu}/cpus")}
    return {
        cpu: CoreKind(
            model=models.get(cpu, ""),
            capacity=tree.number_or_none(f"{_CPU}/cpu{cpu}/cpu_capacity"),
            top_khz=tree.number_or_none(f"{_CPU}/cpu{cpu}/cpufreq/cpuinfo_max_freq"),
            pmu=hybrid.get(cpu, ""),
        )
        for cpu in cpus
    }


def fastest_first(cpus: Sequence[int], tree: Tree | None = None) -> list[int]:
    """Return CPUs with those of the fastest kind first, and those of one kind by their number."""
    kinds = core_kinds(cpus, tree)
    return sorted(sorted(cpus), key=lambda cpu: kinds[cpu].rank, reverse=True)


def _models(tree: Tree) -> dict[int, str]:
    found = {}
    for paragraph in (tree.text_or_none("proc/cpuinfo") or "").split("\n\n"):
        said = dict(re.findall(r"^([\w ]+?)\s*:\s*(.*)$", paragraph, re.MULTILINE))
        if not said.get("processor", "").isdecimal():
            continue
        if "CPU part" in said:
            model = f"implementer {said.get('CPU implementer', '?')} part {said['CPU part']}"
        else:
            model = said.get("model name", "")
        found[int(said["processor"])] = model
    return found


def _listed(tree: Tree, path: str) -> tuple[int, ...]:
    text = tree.text_or_none(path)
    try:
        return cpu_list(text) if text else ()
    except ValueError:
        return ()
