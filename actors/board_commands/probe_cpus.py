"""CPU clusters as units of a board: their clocks, speeds and idle states, as the kernel tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from actors.agent.devices import REAL_CLOCKS
from actors.agent.devices.cpufreq import Policy, set_by_speed
from actors.agent.devices.journal import Journal
from actors.agent.devices.sysfs import DeviceError, Tree
from actors.agent.devices.topology import Cluster, cpus_named
from actors.board_commands.probed import STAND_IN_MHZ, FoundUnit, Remark
from scheduler.board import BoardUnit
from scheduler.idle_state import IdleState

_CPU = "sys/devices/system/cpu"
_ENERGY_MODEL = "sys/kernel/debug/energy_model"

GRID = 8
"""Number of clocks where a driver has no table: intel_pstate and amd-pstate take any clock between two ends."""
_GRID_STEP_KHZ = 100_000
"""What the clocks between the ends are rounded to; the multipliers of x86 processors count 100 MHz."""

_ETERNAL_NS = 10**9
"""A transition latency from here on means that the driver does not know it (CPUFREQ_ETERNAL is 2³² - 1)."""


def cpu_unit(tree: Tree, cluster: Cluster, *, all_clocks: bool) -> FoundUnit:
    """Return a cluster as a unit.

    Args:
        tree: the machine's files.
        cluster: the cluster.
        all_clocks: list its clocks also where this process may not set them.
    """
    unit = BoardUnit(
        name=cluster.name,
        kind="cpu",
        cpus=cluster.cpus,
        dvfs="cpufreq",
        mhz=(),
        static_w=None,
        dynamic_w=None,
        speed=cluster.speed,
        idle_states=_idle_states(tree, cluster.cpus[0]),
    )
    sources = _source_of_speed(cluster)
    if unit.idle_states:
        sources["idle_states"] = "published: the kernel's cpuidle"
    remarks = _on_cpus(cluster)
    if not cluster.policies:
        mhz = _listed_mhz(tree, cluster.cpus[0])
        sources["mhz"] = "published: /proc/cpuinfo" if mhz else "unknown: no file says it; the figure stands for it"
        remarks.append(Remark(unit=cluster.name, text="fixed: the kernel sets no clock here (no cpufreq)"))
        unit = replace(unit, dvfs="fixed", mhz=(mhz or STAND_IN_MHZ,))
        return FoundUnit(unit=unit, remarks=tuple(remarks), sources=sources)
    try:
        policies = [Policy(tree, directory) for directory in cluster.policies]
        mhz_table = _table(policies)
    except DeviceError as error:
        remarks.append(Remark(unit=cluster.name, text=f"fixed: {error}", matters=True))
        sources["mhz"] = "unknown: the figure stands for it"
        unit = replace(unit, dvfs="fixed", mhz=(STAND_IN_MHZ,))
        return FoundUnit(unit=unit, remarks=tuple(remarks), sources=sources)
    unit = replace(unit, mhz=mhz_table, transition_us=_transition_us(tree, policies))
    sources["mhz"] = _source_of_clocks(tree, policies)
    if unit.transition_us:
        sources["transition_us"] = "published: the kernel's cpuinfo_transition_latency"
    else:
        text = (
            "how long a change of clock takes is not known, so requests get no clocks of their own; gearshift "
            "calibrate measures it"
        )
        remarks.append(Remark(unit=cluster.name, text=text))
    remarks += _energy_model(tree, cluster)
    if cluster.strangers:
        have = "have" if len(cluster.strangers) > 1 else "has"
        text = (
            f"fixed: {cpus_named(cluster.strangers)} {have} the same clock and may not be used by this process (its "
            f"CPU mask or cpuset)"
        )
        remarks.append(Remark(unit=cluster.name, text=text, matters=True))
        return fixed(FoundUnit(unit=unit, remarks=tuple(remarks), sources=sources))
    found = FoundUnit(unit=unit, remarks=tuple(remarks), sources=sources)
    return found if all_clocks else if_settable(tree, found)


def if_settable(tree: Tree, found: FoundUnit) -> FoundUnit:
    """Return a unit as it is if this process can set its clocks, else as one with a fixed clock and the reason."""
    unit = found.unit
    try:
        # Its checks are the very ones that a run makes. It turns nothing, so no journal is written.
        REAL_CLOCKS[unit.dvfs](unit, Journal(tree, Path("/nonexistent")))
    except DeviceError as error:
        reason = str(error).removeprefix(f"unit {unit.name!r}: ")
        clocks = f"its {len(unit.mhz)} clocks, {unit.mhz[0]:g} to {unit.mhz[-1]:g} MHz, are not set"
        remark = Remark(unit=unit.name, text=f"fixed, and {clocks}: {reason}", matters=True)
        return fixed(replace(found, remarks=(*found.remarks, remark)))
    return found


def fixed(found: FoundUnit) -> FoundUnit:
    """Return a unit with its highest clock alone."""
    unit = replace(found.unit, dvfs="fixed", mhz=found.unit.mhz[-1:], transition_us=0.0)
    sources = {key: text for key, text in found.sources.items() if key != "transition_us"}
    if sources["mhz"].startswith("assumed"):  # of a grid, only what lies between its ends is
        sources["mhz"] = "published: the kernel's cpuinfo_max_freq"
    return replace(found, unit=unit, sources=sources)


def _on_cpus(cluster: Cluster) -> list[Remark]:
    said = []
    if cluster.threads:
        said.append(f"one thread of each core; {cpus_named(cluster.threads)}, the others, are not used")
    if cluster.offline:
        said.append(f"without {cpus_named(cluster.offline)}, offline now")
    return [Remark(unit=cluster.name, text=text) for text in said]


def _source_of_speed(cluster: Cluster) -> dict[str, str]:
    if cluster.speed_source == "capacity" and cluster.speed != 1:
        return {"speed": "inferred: from the kernel's cpu_capacity, as a share of the fastest core's"}
    if cluster.speed_source == "clock" and cluster.speed != 1:
        return {"speed": "assumed: in proportion to the highest clocks, as if all cores did the same in a cycle"}
    return {}


def _source_of_clocks(tree: Tree, policies: Sequence[Policy]) -> str:
    driver = tree.text_or_none(f"{policies[0].directory}/scaling_driver") or "cpufreq"
    if policies[0].table_khz:
        return f"published: the table of the kernel's driver {driver}"
    return f"assumed: {GRID} clocks from end to end; {driver} has no table, and takes a clock as a wish"


def _table(policies: Sequence[Policy]) -> tuple[float, ...]:
    """Return the clocks that all policies have, in MHz; a grid where one has no table.

    Raises:
        DeviceError: if these are no clocks.
    """
    common = sorted(set.intersection(*({*policy.table_khz} for policy in policies)))
    if not common:
        bottom_khz, top_khz = max(one.bottom_khz for one in policies), min(one.top_khz for one in policies)
        common = grid(bottom_khz, top_khz) if bottom_khz <= top_khz else []
    if not common or common[0] <= 0:
        raise DeviceError(f"{policies[0].name} tells no clocks that could be")
    return tuple(round(khz / 1000, 4) for khz in common)


def grid(bottom_khz: int, top_khz: int) -> list[int]:
    """Return clocks from one end to the other, in kHz: both ends, and even steps rounded to 100 MHz between them.

    From 400 to 4700 MHz these are 400, 1000, 1600, 2200, 2900, 3500, 4100 and 4700 MHz.
    """
    steps = [bottom_khz + (top_khz - bottom_khz) * step / (GRID - 1) for step in range(1, GRID - 1)]
    inner = {_GRID_STEP_KHZ * round(khz / _GRID_STEP_KHZ) for khz in steps}
    return sorted({bottom_khz, top_khz, *(khz for khz in inner if bottom_khz < khz < top_khz)})


def _transition_us(tree: Tree, policies: Sequence[Policy]) -> float:
    """Return the latency that the kernel tells; 0 for unknown, as where it may obey its limits some time later."""
    if not set_by_speed(policies):
        return 0.0
    figures = [tree.number_or_none(f"{policy.directory}/cpuinfo_transition_latency") or 0 for policy in policies]
    return max((ns / 1000 for ns in figures if 0 < ns < _ETERNAL_NS), default=0.0)


def _listed_mhz(tree: Tree, cpu: int) -> float | None:
    """Return the clock of a CPU as /proc/cpuinfo lists it, which it does on x86, in whole MHz."""
    for paragraph in (tree.text_or_none("proc/cpuinfo") or "").split("\n\n"):
        fields = dict(re.findall(r"^([\w ]+?)\s*:\s*(.*)$", paragraph, re.MULTILINE))
        if fields.get("processor") == str(cpu) and re.fullmatch(r"\d+(\.\d+)?", fields.get("cpu MHz", "")):
            return float(round(float(fields["cpu MHz"]))) or None
    return None


def _idle_states(tree: Tree, cpu: int) -> tuple[IdleState, ...]:
    """Return the states that the kernel puts an idle core into. One without a residency is no sleep."""
    states: list[IdleState] = []
    for state in tree.find(f"{_CPU}/cpu{cpu}/cpuidle/state*"):
        residency_us, exit_us = (tree.number_or_none(f"{state}/{name}") for name in ("residency", "latency"))
        if residency_us and exit_us is not None and tree.text_or_none(f"{state}/disable") in (None, "0"):
            rises = not states or residency_us > states[-1].residency_us
            states += [IdleState(residency_us=residency_us, exit_us=exit_us)] if rises else []
    return tuple(states)


def _energy_model(tree: Tree, cluster: Cluster) -> list[Remark]:
    """Return what the kernel's energy model says of a cluster, which is not enough for a board's power figures.

    It is the power of one busy core at each clock, without what the cluster takes at rest (`drivers/opp/of.c`). It is
    in µW where bit 0 of its flags is set, else in mW or on a scale of its own (`include/linux/energy_model.h`).
    """
    for domain in tree.find(f"{_ENERGY_MODEL}/cpu*"):
        flags = (tree.text_or_none(f"{domain}/flags") or "").removeprefix("0x")
        microwatts = re.fullmatch(r"[0-9a-f]+", flags) is not None and int(flags, 16) & 1
        if domain.rpartition("cpu")[2] not in map(str, cluster.cpus) or not microwatts:
            continue
        power_uw = {
            int(state.rpartition(":")[2]): tree.number_or_none(f"{state}/power")
            for state in tree.find(f"{domain}/ps:*")
        }
        figures = [f"{khz / 1000:g}: {uw / 1e6:.4f}" for khz, uw in sorted(power_uw.items()) if uw is not None]
        if figures:
            text = (
                f"modelled by the kernel, watts of one busy core at MHz: {', '.join(figures)}. What the cluster takes "
                f"at rest is not in it, so these are no power figures here"
            )
            return [Remark(unit=cluster.name, text=text)]
    return []
