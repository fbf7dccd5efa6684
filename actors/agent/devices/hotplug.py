"""Switching the CPUs of a unit off and on, in `/sys/devices/system/cpu/cpuN/online`.

It is done only to a unit whose owner allows it (`may_switch_off: true`). A CPU takes milliseconds to go and to come, so
both are measured. When a CPU goes, the kernel lets the threads that were pinned to it run anywhere, and when the last
CPU of a clock domain has gone, the domain forgets its speed; whoever switches a unit on again sees to both.
"""

from __future__ import annotations

import time

from actors.agent.devices.journal import Journal
from actors.agent.devices.limits import due
from actors.agent.devices.sysfs import DeviceError, KnobError
from actors.agent.devices.topology import CPU, online_cpus
from scheduler.board import BoardUnit


class UnitSwitch:
    """The switch of a CPU unit.

    Args:
        unit: the unit, as the board's file describes it.
        journal: the board's journal.

    Raises:
        DeviceError: if one of its CPUs can't be switched off, or no other CPU would be left.
    """

    def __init__(self, unit: BoardUnit, journal: Journal) -> None:
        self._journal = journal
        self._knobs = [journal.tree.knob(f"{CPU}/cpu{cpu}/online") for cpu in unit.cpus]
        for cpu, knob in zip(unit.cpus, self._knobs, strict=True):
            if not journal.tree.exists(knob.path):
                raise DeviceError(
                    f"unit {unit.name!r}: CPU {cpu} can't be switched off (there is no /{knob.path}). Remove "
                    f"may_switch_off."
                )
            if not journal.tree.may(knob.path, write=True):
                raise DeviceError(
                    f"unit {unit.name!r}: this process may not write /{knob.path}. Run as root, or remove "
                    f"may_switch_off."
                )
        if {*online_cpus(journal.tree)} <= {*unit.cpus}:
            raise DeviceError(
                f"unit {unit.name!r} has all CPUs that are online, which can't all go. Remove may_switch_off."
            )

    def off(self) -> float:
        """Take all CPUs of the unit offline.

        Returns:
            The time that it took on the wall, in milliseconds.

        Raises:
            DeviceError: if one does not go; those that went are online again.
        """
        started_s = time.perf_counter()
        with self._journal.together():
            for knob in self._knobs:
                if knob.text() != "0":
                    self._journal.turn(knob, "0", "online")
        return 1e3 * (time.perf_counter() - started_s)

    def on(self) -> float:
        """Put the CPUs online that were taken offline here; one that was found offline stays so.

        One stays offline too that a power mode does without which was set meanwhile.

        Returns:
            The time that it took on the wall, in milliseconds.

        Raises:
            DeviceError: if one does not come; the others do.
        """
        started_s = time.perf_counter()
        failed: KnobError | None = None
        for knob in self._knobs:
            found = self._journal.found(knob.path)
            if found is None or self._journal.values(knob.path)[:1] != ("0",):
                continue
            if due(self._journal.tree, found).give_back == "0":
                continue
            try:
                self._journal.turn(knob, "1", "online")
            except KnobError as error:
                failed = error
        if failed is not None:
            raise failed
        return 1e3 * (time.perf_counter() - started_s)
