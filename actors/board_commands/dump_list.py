"""The files that a dump of a machine may hold. What is not named here is in no dump.

A dump is for strangers. No file here has a host name, a serial number, a network address or a user in it, and of three
files only some lines are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from actors.agent.devices.sysfs import Tree

_CPU = "sys/devices/system/cpu"

AREAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "the machine's model and releases": (
            "proc/device-tree/model",
            "proc/device-tree/compatible",
            "sys/class/dmi/id/product_name",
            "proc/sys/kernel/osrelease",
            "etc/nv_tegra_release",
            "proc/cpuinfo",
            "proc/self/status",
            "sys/fs/cgroup/cpuset.cpus.effective",
        ),
        "CPUs and their places": (
            f"{_CPU}/online",
            f"{_CPU}/offline",
            f"{_CPU}/present",
            f"{_CPU}/possible",
            f"{_CPU}/cpu[0-9]*/online",
            f"{_CPU}/cpu[0-9]*/cpu_capacity",
            f"{_CPU}/cpu[0-9]*/topology/*",
            f"{_CPU}/cpu[0-9]*/cache/index*/level",
            f"{_CPU}/cpu[0-9]*/cache/index*/type",
            f"{_CPU}/cpu[0-9]*/cache/index*/shared_cpu_list",
            f"{_CPU}/cpu[0-9]*/cpuidle/state*/name",
            f"{_CPU}/cpu[0-9]*/cpuidle/state*/residency",
            f"{_CPU}/cpu[0-9]*/cpuidle/state*/latency",
            f"{_CPU}/cpu[0-9]*/cpuidle/state*/disable",
            f"{_CPU}/cpu[0-9]*/cpufreq/related_cpus",  # the policy as nvpmodel calls it: the way there is a link
            "sys/devices/cpu_core/cpus",
            "sys/devices/cpu_atom/cpus",
        ),
        "clocks of CPUs": (
            f"{_CPU}/cpufreq/boost",
            f"{_CPU}/cpufreq/*/*",  # policies, and tunables of a governor that all of them share
            f"{_CPU}/cpufreq/policy*/*/*",  # tunables of a policy's own governor, and stats
            f"{_CPU}/intel_pstate/*",
            f"{_CPU}/amd_pstate/*",
            "sys/kernel/debug/energy_model/*/cpus",
            "sys/kernel/debug/energy_model/*/flags",
            "sys/kernel/debug/energy_model/*/ps:*/*",
        ),
        "clocks of GPUs and memory": (
            *(
                f"sys/class/devfreq/*/{name}"
                for name in (
                    *("available_frequencies", "available_governors", "governor", "min_freq", "max_freq", "cur_freq"),
                    *("target_freq", "polling_interval", "load", "timer"),
                )
            ),
            "sys/class/devfreq/*/device/of_node/name",
            "sys/class/devfreq/*/device/of_node/compatible",
            "sys/devices/gpu.0/load",
            "sys/devices/platform/gpu.0/load",
        ),
        "temperatures and cooling": (
            "sys/class/thermal/thermal_zone*/type",
            "sys/class/thermal/thermal_zone*/temp",
            "sys/class/thermal/thermal_zone*/mode",
            "sys/class/thermal/thermal_zone*/policy",
            "sys/class/thermal/thermal_zone*/trip_point_*",
            "sys/class/thermal/thermal_zone*/cdev*/type",
            "sys/class/thermal/cooling_device*/type",
            "sys/class/thermal/cooling_device*/cur_state",
            "sys/class/thermal/cooling_device*/max_state",
        ),
        "power sensors": (
            *(
                f"sys/bus/i2c/devices/*/hwmon/hwmon*/{name}"
                for name in (
                    *("name", "in[0-9]_*", "curr[0-9]_*", "power[0-9]_*", "shunt*_resistor", "update_interval"),
                    "samples",
                )
            ),
            *(
                f"{chip}/iio:device*/{name}"
                for chip in ("sys/bus/i2c/devices/*", "sys/bus/i2c/drivers/ina3221x/*")
                for name in ("rail_name_*", "in_power*_input", "in_voltage*_input", "in_current*_input")
            ),
            "sys/class/powercap/intel-rapl*/name",
            "sys/class/powercap/intel-rapl*/enabled",
            "sys/class/powercap/intel-rapl*/energy_uj",
            "sys/class/powercap/intel-rapl*/max_energy_range_uj",
        ),
        "power modes": ("etc/nvpmodel.conf", "var/lib/nvpmodel/status"),
    }
)
"""The patterns of the files, by what they tell. A pattern means files, not the directories that match it."""

_LINES = {
    "proc/cpuinfo": re.compile(r"(processor|model name|cpu MHz)\s*:"),
    "proc/self/status": re.compile(r"Cpus_allowed_list:"),
    "etc/nv_tegra_release": re.compile(r"# R\d+ \(release\)"),
}
"""Files of which only the lines are kept that begin so: /proc/cpuinfo of a Raspberry Pi has its serial number."""


def listed(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield (area, path) of what matches a pattern on a machine; one may be a directory, or be yielded twice."""
    for area, patterns in AREAS.items():
        for pattern in patterns:
            yield from ((area, path) for path in tree.find(pattern))


def kept(path: str, content: bytes) -> bytes:
    """Return what a dump keeps of a file: all of it, or those of its lines that tell nothing of their owner."""
    begins = _LINES.get(path)
    if begins is None:
        return content
    lines = content.decode(errors="replace").splitlines(keepends=True)
    return "".join(line for line in lines if not line.strip() or begins.match(line)).encode()
