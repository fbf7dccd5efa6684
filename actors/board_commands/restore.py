"""Giving a board back that a killed run has left turned, and saying who has it now."""

from __future__ import annotations

from pathlib import Path

from actors.agent.devices.hand_back import HandedBack, hand_back
from actors.agent.devices.journal_files import read_journals
from actors.agent.devices.sysfs import DeviceError, KnobError
from actors.agent.hold import BoardBusyError, lock_or_refuse
from actors.agent.machine import Machine, other_states
from actors.board_commands.condition import Note


def restore(machine: Machine, *, dry_run: bool = False) -> HandedBack:
    """Give a board back as the journals of this user's runs say.

    Args:
        machine: the machine.
        dry_run: say what would be done, and do nothing.

    Raises:
        BoardBusyError: if a run that is alive has the board; it gives it back itself.
        DeviceError: if a journal is something else.
        OSError: if a journal may not be read.
    """
    unlock = lock_or_refuse(machine)
    try:
        return hand_back(machine.tree, machine.state, machine.nvml, dry_run=dry_run)
    finally:
        unlock()


def journals_of_others(machine: Machine) -> list[Note]:
    """Return a note for each place where another user's runs have left a journal.

    They are not undone: whoever can write a journal could have any knob set by whoever trusts it.
    """
    said = []
    for state in other_states(machine):
        try:
            if not any(journal.same_boot for journal in read_journals(machine.tree, state)):
                continue
        except (DeviceError, OSError):
            pass  # it may be one that matters
        mend = "sudo gearshift restore" if state.parent == Path("/run") else f"gearshift restore, as {_owner(state)}"
        said.append(Note(text=f"runs of another user have left knobs turned ({state})", mend=mend))
    return said


def run_notes(machine: Machine) -> list[Note]:
    """Return who has the board, and what dead runs have left."""
    try:
        lock_or_refuse(machine)()
    except BoardBusyError as error:
        return [Note(text=str(error))]
    except KnobError as error:
        return [Note(text=f"the board can't be locked, so no run can set its clocks: {error}")]
    said = []
    try:
        left = [journal for journal in read_journals(machine.tree, machine.state) if journal.same_boot]
    except (DeviceError, OSError) as error:
        said.append(Note(text=f"the journal can't be read: {error}"))
    else:
        knobs = sum(len(journal.entries) for journal in left)
        if knobs:
            pids = ", ".join(str(journal.pid) for journal in left if journal.pid is not None) or "unknown"
            text = f"a run that is dead (process {pids}) has left knobs turned: {knobs}; the next run gives them back"
            said.append(Note(text=text, mend="gearshift restore"))
    return said + journals_of_others(machine)


def _owner(state: Path) -> str:
    try:
        return state.owner()
    except (KeyError, OSError):
        return "its owner"
