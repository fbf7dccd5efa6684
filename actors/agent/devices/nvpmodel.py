"""NVIDIA's power modes on a Jetson: which are there, which is in force, and what each allows.

`/etc/nvpmodel.conf` names files of the kernel (`PARAM`) and what each mode writes there (`POWER_MODEL`); a value of -1
is no limit. `/var/lib/nvpmodel/status` keeps the number of the mode, `pmode:0002`. Both are read without root and
without NVIDIA's tool. Its identifiers and their order differ from board to board, so none are known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from actors.agent.devices.sysfs import KnobError, Tree

_CONFIGURATION = "etc/nvpmodel.conf"
_STATUS = "var/lib/nvpmodel/status"


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerMode:
    """One power mode.

    Attributes:
        number: its identifier.
        name: its name, such as `MODE_15W_6CORE`.
        limits: by file of the kernel, from the root of the tree, the whole number that the mode writes there.
    """

    number: int
    name: str
    limits: Mapping[str, int]

    def cap_of(self, tree: Tree, domain: str) -> int | None:
        """Return the highest clock that the mode allows a clock domain, in the domain's own unit; None for no limit.

        Args:
            tree: the files of the board, which has several names for one file.
            domain: directory of the clock.
        """
        return min(self._limits_of(tree, domain, ("scaling_max_freq", "max_freq")), default=None)

    def floor_of(self, tree: Tree, domain: str) -> int | None:
        """Return the lowest clock that the mode allows a clock domain; see `cap_of`."""
        return max(self._limits_of(tree, domain, ("scaling_min_freq", "min_freq")), default=None)

    def value_of(self, tree: Tree, path: str) -> int | None:
        """Return what the mode writes to a file, by whatever name it has that file; None where it leaves it alone.

        Args:
            tree: the files of the board.
            path: the file, from the root of the tree.
        """
        name = path.rsplit("/", 1)[-1]
        real = tree.real(path)
        return next(
            (value for own, value in self.limits.items() if own.endswith(f"/{name}") and tree.real(own) == real), None
        )

    def _limits_of(self, tree: Tree, domain: str, names: tuple[str, str]) -> list[int]:
        return [
            value
            for path, value in self.limits.items()
            if path.rsplit("/", 1)[-1] in names and value > 0 and _domain(tree, path) == tree.real(domain)
        ]


def _domain(tree: Tree, path: str) -> str:
    """Return the directory of a limit's file; of a CPU's, that of its clock domain, which is a link there."""
    return tree.real(path.rsplit("/", 1)[0])


def mode_number(tree: Tree) -> int | None:
    """Return the number of the mode in force, which takes one read; None where there are no modes."""
    found = re.search(r"pmode:(\d+)", tree.text_or_none(_STATUS) or "")
    return None if found is None else int(found[1])


def power_mode(tree: Tree) -> PowerMode | None:
    """Return the mode in force; None where there are no modes, or the files don't say."""
    number = mode_number(tree)
    return None if number is None else {mode.number: mode for mode in power_modes(tree)}.get(number)


def power_modes(tree: Tree) -> tuple[PowerMode, ...]:
    """Return all modes of the machine, in the file's order; none where it has no such file."""
    try:
        text = tree.text(_CONFIGURATION)
    except KnobError:
        return ()
    files: dict[tuple[str, str], str] = {}
    modes: list[PowerMode] = []
    parameter = ""
    for line in text.splitlines():
        heading = re.fullmatch(r"\s*<\s*(\w+)\s+(.*?)\s*>\s*", line)
        words = line.split()
        if heading is not None:
            fields: dict[str, str] = dict(re.findall(r"(\w+)\s*=\s*(\S+)", heading[2]))
            parameter = fields.get("NAME", "") if heading[1] == "PARAM" else ""
            if heading[1] == "POWER_MODEL" and fields.get("ID", "").isdigit():
                modes.append(PowerMode(number=int(fields["ID"]), name=str(fields.get("NAME", fields["ID"])), limits={}))
        elif parameter and len(words) == 2 and words[1].startswith("/"):
            files[parameter, words[0]] = words[1].lstrip("/")
        elif modes and len(words) == 3 and re.fullmatch(r"-?[0-9]+", words[2]):
            path = files.get((words[0], words[1]))
            if path is not None:
                limits = {**modes[-1].limits, path: int(words[2])}
                modes[-1] = PowerMode(number=modes[-1].number, name=modes[-1].name, limits=limits)
    return tuple(modes)
