"""The control groups that a process is in: the CPUs that they leave it, and the share of CPU time.

Containers and services are control groups. A process sees them under /sys/fs/cgroup, from its own group up to the root
or, in a container, up to the container's group. Kernels have version 2 of them, version 1, or both at once.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from actors.agent.devices.sysfs import Tree, cpu_list


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """A bound on CPU time.

    Attributes:
        cores: CPU time that may be used in a second, in seconds: 0.5 for `docker --cpus=0.5`.
        path: the file that says so.
    """

    cores: float
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cpuset:
    """CPUs that a group leaves to its processes.

    Attributes:
        cpus: their numbers.
        path: the file that says so.
    """

    cpus: tuple[int, ...]
    path: str


def quota(tree: Tree) -> Quota | None:
    """Return the tightest quota on CPU time of this process's groups; None if there is none, or the kernel is silent.

    Args:
        tree: the machine's files.
    """
    found = []
    for directory in _groups(tree, "cpu"):
        path = f"{directory}/cpu.max"
        # `50000 100000`: 50 ms in each 100 ms. Version 1 has two files, and -1 or `max` where there is no quota.
        figures = (tree.text_or_none(path) or "").split()
        if not figures:
            path = f"{directory}/cpu.cfs_quota_us"
            texts = tree.text_or_none(path), tree.text_or_none(f"{directory}/cpu.cfs_period_us")
            figures = [text for text in texts if text]
        if len(figures) == 2 and all(figure.isdecimal() and int(figure) for figure in figures):
            found.append(Quota(cores=int(figures[0]) / int(figures[1]), path=f"/{path}"))
    return min(found, key=lambda one: one.cores, default=None)


def cpuset(tree: Tree) -> Cpuset | None:
    """Return the CPUs that this process's own group leaves it; None where the kernel does not say.

    Args:
        tree: the machine's files.
    """
    for directory in _groups(tree, "cpuset"):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus"):
            try:
                cpus = cpu_list(tree.text_or_none(f"{directory}/{name}") or "")
            except ValueError:
                continue
            if cpus:
                return Cpuset(cpus=cpus, path=f"/{directory}/{name}")
    return None


def _groups(tree: Tree, controller: str) -> Iterator[str]:
    """Yield the directories of this process's groups, its own first, in each hierarchy that may have a controller."""
    mine = {}
    for line in (tree.text_or_none("proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" or controller in names.split(","):
            mine["cgroup2" if number == "0" else "cgroup"] = path
    for line in (tree.text_or_none("proc/self/mountinfo") or "").splitlines():
        # `31 23 0:28 ROOT PLACE OPTIONS - TYPE SOURCE OPTIONS`: ROOT is the group that is seen at PLACE.
        there, _, kind = line.partition(" - ")
        words, (type_, *_, options) = there.split(), kind.split() or ["", ""]
        if type_ not in mine or len(words) < 5 or (type_ == "cgroup" and controller not in options.split(",")):
            continue
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), words[4]).strip("/")
        below = posixpath.relpath(mine[type_], words[3])
        # A group that lies outside what is mounted can't be seen from here.
        inside = "" if below == "." or below.startswith("..") else below
        while inside:
            yield f"{place}/{inside}"
            inside = posixpath.dirname(inside)
        yield place
