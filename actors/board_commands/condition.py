"""The state that a machine is in, in sentences: what holds its clocks, who governs them, what is odd or off."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actors.agent.devices import devfreq
from actors.agent.devices.caps import cap
from actors.agent.devices.nvpmodel import PowerMode, power_mode, power_modes
from actors.agent.devices.sysfs import Tree
from actors.agent.devices.topology import (
    allowed_cpus,
    clusters,
    cpu_ranges,
    cpus_named,
    isolated_cpus,
    offline_cpus,
    online_cpus,
)
from actors.board_commands.identity import kernel, l4t, model

_CPUFREQ = "sys/devices/system/cpu/cpufreq"
_INTEL = "sys/devices/system/cpu/intel_pstate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something that a user may want to change.

    Attributes:
        text: what it is.
        mend: the command that changes it, or nothing.
    """

    text: str
    mend: str = ""


def listed_names(names: Sequence[str]) -> str:
    """Return names with commas between them; numbered ones as `policy0-3,6`."""
    parts = [re.fullmatch(r"(\D+)(\d+)", name) for name in names]
    if len({part and part[1] for part in parts}) == 1 and parts[0] is not None:
        return f"{parts[0][1]}{cpu_ranges(int(part[2]) for part in parts if part)}"
    return ", ".join(names)


def facts(tree: Tree) -> dict[str, str]:
    """Return what the machine is and how it stands, by name of the fact."""
    found = {"board": model(tree) or "without a name", "kernel": f"Linux {kernel(tree)}"}
    release = l4t(tree)
    if release is not None:
        found["NVIDIA's Linux"] = f"L4T {release.major}.{release.revision}"
    found["CPUs"] = f"{cpu_ranges(online_cpus(tree))} online" + (
        f", {cpu_ranges(away)} offline" if (away := offline_cpus(tree)) else ""
    )
    found["clusters"] = "; ".join(
        f"{cluster.name}: {cpu_ranges(cluster.cpus)}"
        + (f" (other threads: {cpu_ranges(cluster.threads)})" if cluster.threads else "")
        for cluster in clusters(tree)
    )
    found["clocks"] = _by_policy(tree, "scaling_driver") or "not set by the kernel (no cpufreq)"
    governors = _by_policy(tree, "scaling_governor")
    if governors:
        found["governors"] = governors
    for device in devfreq.gpus(tree):
        governor = tree.text_or_none(f"{device}/governor") or "without governor"
        found["GPU"] = f"{device.rpartition('/')[2]}, {governor}"
    mode = power_mode(tree)
    if power_modes(tree):
        found["power mode"] = "unknown" if mode is None else f"{mode.name} ({mode.number})"
    return found


def notes(tree: Tree) -> tuple[Note, ...]:
    """Return what is odd, switched off or held down."""
    return (*_cpus(tree), *_boost(tree), *_clocks(tree), *_gpu(tree))


def _cpus(tree: Tree) -> list[Note]:
    said = []
    away = offline_cpus(tree)
    if away:
        said.append(_away(tree, away))
    allowed = allowed_cpus(tree)
    barred = {cpu for cpu in online_cpus(tree) if allowed is not None and cpu not in allowed}
    apart = barred.intersection(isolated_cpus(tree))
    if apart:
        said.append(Note(text=f"isolated (isolcpus), for a board's file to list: {cpus_named(apart)}"))
    barred -= apart
    if barred:
        text = f"CPUs {cpu_ranges(barred)} may not be used by this process: its CPU mask or its cpuset leaves them out"
        everything = cpu_ranges(online_cpus(tree))
        mend = f"taskset -c {everything} ..., or docker run --cpuset-cpus={everything} ..."
        said.append(Note(text=text, mend=mend))
    return said


def _away(tree: Tree, away: Sequence[int]) -> Note:
    """Return a note on CPUs that are offline: which mode leaves them out and which does not, or who else may have."""
    now = power_mode(tree)
    if now is None or _has_online(now, away):
        names = f"cpu{away[0]}" if len(away) == 1 else f"cpu{{{','.join(map(str, away))}}}"
        mend = f"echo 1 | sudo tee /sys/devices/system/cpu/{names}/online"
        return Note(text=f"CPUs {cpu_ranges(away)} are offline: somebody has switched them off", mend=mend)
    others = [mode for mode in power_modes(tree) if _has_online(mode, away)]
    mend = f"sudo nvpmodel -m {others[0].number}  # {others[0].name}" if others else ""
    return Note(text=f"CPUs {cpu_ranges(away)} are offline: the power mode {now.name} leaves them out", mend=mend)


def _has_online(mode: PowerMode, cpus: Iterable[int]) -> bool:
    return all(mode.limits.get(f"sys/devices/system/cpu/cpu{cpu}/online", 1) for cpu in cpus)


def _boost(tree: Tree) -> list[Note]:
    if tree.text_or_none(f"{_INTEL}/no_turbo") == "1":
        return [Note(text="turbo is off (intel_pstate/no_turbo is 1): the highest clocks are not to be had")]
    if "0" in (tree.text_or_none(path) for path in (f"{_CPUFREQ}/boost", *tree.find(f"{_CPUFREQ}/policy*/boost"))):
        return [Note(text="boost is off: the highest clocks are not to be had")]
    return []


def _clocks(tree: Tree) -> list[Note]:
    said: list[Note] = []
    odd: list[str] = []
    locked: dict[int, list[str]] = {}
    held: dict[tuple[str, int, int], list[str]] = {}
    for policy in tree.find(f"{_CPUFREQ}/policy*"):
        name = policy.rpartition("/")[2]
        low, high, bottom, top = (
            tree.number_or_none(f"{policy}/{file}")
            for file in ("scaling_min_freq", "scaling_max_freq", "cpuinfo_min_freq", "cpuinfo_max_freq")
        )
        if low is None or high is None or bottom is None or top is None:
            text = f"{name} has no CPU online: its clock can be neither read nor set until one is back"
            said.append(Note(text=text))
            continue
        if low > high:
            odd.append(f"{name} (scaling_min_freq {low}, scaling_max_freq {high})")
        elif low == high and bottom < top:
            locked.setdefault(high, []).append(name)
        if high < top:
            held.setdefault((cap(tree, policy, high), high, top), []).append(name)
    for khz, names in locked.items():
        text = f"the clock is locked, lowest and highest are the same: {listed_names(names)} at {khz / 1000:g} MHz"
        said.append(Note(text=text, mend=_unlock(tree)))
    if odd:
        said.append(Note(text=f"the lowest clock is above the highest one, which counts: {', '.join(odd)}"))
    for (reason, khz, top), names in held.items():
        text = f"held down: {listed_names(names)} at {khz / 1000:g} of {top / 1000:g} MHz ({reason})"
        said.append(Note(text=text))
    return [*said, *_userspace(tree)]


def _userspace(tree: Tree) -> list[Note]:
    """Return a note where a driver has a table and its governor `userspace` is not loaded."""
    lacking = [
        policy.rpartition("/")[2]
        for policy in tree.find(f"{_CPUFREQ}/policy*")
        if tree.exists(f"{policy}/scaling_available_frequencies")
        and "userspace" not in (tree.text_or_none(f"{policy}/scaling_available_governors") or "userspace").split()
    ]
    if not lacking:
        return []
    text = (
        f"{listed_names(lacking)}: no governor userspace, so a clock is set by its limits, and a cap by heat that "
        f"comes and goes meanwhile is harder to see"
    )
    return [Note(text=text, mend="sudo modprobe cpufreq_userspace")]


def _gpu(tree: Tree) -> list[Note]:
    said = []
    for device in devfreq.gpus(tree):
        if not devfreq.is_nvidia(tree, device):
            said.append(Note(text=f"no engine of gearshift runs on GPU {device.rpartition('/')[2]}, so it is not used"))
            continue
        low, high = (tree.number_or_none(f"{device}/{file}") for file in ("min_freq", "max_freq"))
        if low is not None and high is not None and low >= high:
            said.append(Note(text=f"the GPU's clock is locked at {high / 1e6:g} MHz", mend=_unlock(tree)))
    return said


def _unlock(tree: Tree) -> str:
    return "sudo jetson_clocks --restore" if tree.exists("etc/nv_tegra_release") else ""


def _by_policy(tree: Tree, file: str) -> str:
    """Return what a file says in all policies: `schedutil`, or `schedutil (policy0,2), userspace (policy4)`."""
    said: dict[str, list[str]] = {}
    for policy in tree.find(f"{_CPUFREQ}/policy*"):
        said.setdefault(tree.text_or_none(f"{policy}/{file}") or "unknown", []).append(policy.rpartition("/")[2])
    if len(said) == 1:
        return next(iter(said))
    return ", ".join(f"{word} ({listed_names(policies)})" for word, policies in said.items())
