"""Checks of a board's real clocks before a run: nothing is turned, and nothing is started yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from actors.agent.devices import open_clock
from actors.agent.devices.cpufreq import policies_of, set_by_speed
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.devices.journal import Journal
from actors.agent.devices.journal_files import check_state
from actors.agent.devices.real import RealClock
from actors.agent.hold import check_free, real_units
from actors.agent.machine import Machine
from scheduler.board import Board
from scheduler.governors import GOVERNORS, MODELLED, governor_for
from scheduler.policies import PolicyError


def check_clocks(board: Board, machine: Machine) -> None:
    """Check that this process can set the real clocks of a board as they are described, and that nobody else does.

    A unit that may be switched off is checked for that, too.

    Raises:
        DeviceError: if it can't; it names the unit, the file and the fix.
        BoardBusyError: if another run has the board.
    """
    _clocks(board, machine)
    for unit in real_units(board):
        if unit.may_switch_off:
            UnitSwitch(unit, Journal(machine.tree, machine.state))
    if real_units(board):
        check_state(machine.state)
        check_free(machine)


def with_known_transitions(board: Board, sources: Mapping[str, str], machine: Machine) -> Board:
    """Return a board that states no `transition_us` which may be wrong where the clock is set by limits.

    There the kernel tells a latency of the hardware, and may obey milliseconds after a limit was written. So a figure
    counts only if its source says that it was measured; else it is unknown, and requests get no clocks of their own.

    Args:
        board: the board.
        sources: source of its figures, by key.
        machine: the machine that it is.
    """
    units = []
    for unit in board.units:
        source = sources.get(f"{unit.name}.transition_us", sources.get("transition_us", ""))
        doubtful = unit.dvfs == "cpufreq" and unit.transition_us and not source.startswith("measured")
        if doubtful and not set_by_speed(policies_of(unit, machine.tree)):
            units.append(replace(unit, transition_us=0.0))
        else:
            units.append(unit)
    return replace(board, units=tuple(units))


def check_governor(board: Board, policy: str, machine: Machine) -> None:
    """Check that the kernel has the governor that a policy names, for each unit with a real clock.

    Args:
        board: the board.
        policy: name of the policy; one that names no governor needs none.
        machine: the machine that the board is.

    Raises:
        PolicyError: if it has not; it names those that it has.
    """
    governor = policy.rpartition("+")[2]
    if governor not in GOVERNORS:
        return
    for unit, clock in zip(real_units(board), _clocks(board, machine), strict=True):
        wanted, there = governor_for(governor, unit.kind), clock.governors()
        if wanted not in there:
            if wanted in MODELLED:
                mend = " There is a model of it, for emulated and simulated boards."
            else:
                mend = f" If it is a module: sudo modprobe cpufreq_{wanted}" if unit.kind == "cpu" else ""
            raise PolicyError(
                f"policy {policy!r}: the kernel has no governor {wanted!r} for unit {unit.name!r} now; it has "
                f"{', '.join(there)}.{mend}"
            )


def _clocks(board: Board, machine: Machine) -> list[RealClock]:
    # This journal is never written to: opening a clock turns nothing.
    journal = Journal(machine.tree, machine.state, machine.nvml)
    return [open_clock(board, unit, journal) for unit in real_units(board)]
