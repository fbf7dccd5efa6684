"""Reasons why the kernel holds a clock below what the hardware can do, in words, where they can be known.

A limit of the kernel's shows the least of all that ask for one, and not who asked. So the likely askers are looked at:
cooling devices that act, the firmware, the processor's own switches, and the board's power mode.
"""

from __future__ import annotations

from collections.abc import Collection

from actors.agent.devices.nvpmodel import power_mode
from actors.agent.devices.sysfs import Tree, cpu_list

_THERMAL = "sys/class/thermal"
_INTEL = "sys/devices/system/cpu/intel_pstate"

SOMEBODYS = "a limit that somebody set"
"""Words for a cap that no known asker accounts for."""


def passing_cap(tree: Tree, domain: str) -> str | None:
    """Return why a clock is held down by something that will let go of it by itself; None if nothing is seen.

    The limit that shows meanwhile is nobody's wish, so it must not be written back as one.

    Args:
        tree: the files of the board.
        domain: directory of the clock: `sys/devices/system/cpu/cpufreq/policy0`, or one of a devfreq device.
    """
    return _heat(tree, domain) or _firmware(tree, domain)


def cap(tree: Tree, domain: str, shown: int) -> str:
    """Return what holds a clock down, as far as it can be told, in words that follow "held by".

    Args:
        tree: the files of the board.
        domain: directory of the clock.
        shown: the highest clock that is granted; one below what the power mode allows is not the mode's doing.
    """
    passing = passing_cap(tree, domain)
    if passing is not None:
        return passing
    mode = power_mode(tree)
    allowed = None if mode is None else mode.cap_of(tree, domain)
    if mode is not None and allowed is not None and shown >= allowed:
        return f"nvpmodel {mode.name}"
    return SOMEBODYS


def _heat(tree: Tree, domain: str) -> str | None:
    for cooler in tree.find(f"{_THERMAL}/cooling_device*"):
        if (tree.number_or_none(f"{cooler}/cur_state") or 0) > 0 and _cools(tree, cooler, domain):
            return f"thermal{_zone_of(tree, cooler)}"
    return None


def _cools(tree: Tree, cooler: str, domain: str) -> bool:
    kind = tree.text_or_none(f"{cooler}/type") or ""
    name = domain.rsplit("/", 1)[-1]
    if not name.startswith("policy"):
        # drivers/thermal/devfreq_cooling.c names it after the device.
        return kind.startswith("devfreq-") and kind.removeprefix("devfreq-") in name
    if kind.startswith("cpufreq-cpu"):  # drivers/thermal/cpufreq_cooling.c: the first CPU of the domain
        return kind.removeprefix("cpufreq-cpu") in map(str, domain_cpus(tree, domain))
    # Older kernels number theirs, and ACPI has one for each processor without saying which: either may be this one's.
    return kind.startswith("thermal-cpufreq") or kind == "Processor"


def _zone_of(tree: Tree, cooler: str) -> str:
    """Return the name and temperature of the zone that a cooling device serves: " CPU-therm 91 °C"."""
    for bound in tree.find(f"{_THERMAL}/thermal_zone*/cdev*"):
        if bound.rsplit("cdev", 1)[-1].isdigit() and tree.real(bound) == tree.real(cooler):
            zone = bound.rsplit("/", 1)[0]
            name = tree.text_or_none(f"{zone}/type") or zone.rsplit("/", 1)[-1]
            millidegrees = tree.number_or_none(f"{zone}/temp")
            return f" {name}" + ("" if millidegrees is None else f" {millidegrees / 1000:.0f} °C")
    return ""


def _firmware(tree: Tree, domain: str) -> str | None:
    limit_khz, top_khz = (tree.number_or_none(f"{domain}/{name}") for name in ("bios_limit", "cpuinfo_max_freq"))
    if limit_khz is not None and top_khz is not None and limit_khz < top_khz:
        return f"firmware: bios_limit is {limit_khz / 1000:g} MHz"
    if domain.rsplit("/", 1)[-1].startswith("policy"):
        if tree.text_or_none(f"{_INTEL}/no_turbo") == "1":
            return "intel_pstate: no_turbo is 1"
        percent = tree.number_or_none(f"{_INTEL}/max_perf_pct")
        if percent is not None and percent < 100:
            return f"intel_pstate: max_perf_pct is {percent}"
    return None


def domain_cpus(tree: Tree, domain: str) -> Collection[int]:
    """Return the CPUs of a clock domain of cpufreq, those offline included; none while it does not say."""
    try:
        return cpu_list(tree.text_or_none(f"{domain}/related_cpus") or "")
    except ValueError:
        return ()
