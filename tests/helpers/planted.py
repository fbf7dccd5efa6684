"""Plain files in a directory, as a tree that nothing turns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from actors.agent.devices.sysfs import Tree

CPU = "sys/devices/system/cpu"


def plant(directory: Path, files: Mapping[str, object]) -> Tree:
    """Write files, each with its content and a newline, and return the tree that they are."""
    for path, content in files.items():
        to = directory / path
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(f"{content}\n", encoding="utf-8")
    return Tree(directory)


def policy(number: int, cpus: str, top_khz: int, **others: object) -> dict[str, object]:
    """Return the files of a cpufreq policy without a table."""
    files = {"related_cpus": cpus, "cpuinfo_min_freq": 400_000, "cpuinfo_max_freq": top_khz, **others}
    return {f"{CPU}/cpufreq/policy{number}/{name}": content for name, content in files.items()}
