"""`gearshift restore` gives back what this user's dead runs left, nothing else, and never under a run that is alive."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from actors.agent.devices.journal import Journal
from actors.agent.hold import BoardBusyError, Hold
from actors.agent.machine import Machine
from actors.board_commands.restore import journals_of_others, restore, run_notes
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.fake_kernel.files import snapshot
from helpers.planted import CPU

GOVERNOR = f"{CPU}/cpufreq/policy0/scaling_governor"


@pytest.fixture
def kernel() -> FakeKernel:
    return boards.odroid_xu3()


@pytest.fixture
def machine(kernel: FakeKernel, tmp_path: Path) -> Machine:
    return Machine(tree=FakeTree(kernel), state=tmp_path / "gearshift-board-0")


def die_in_a_run(machine: Machine, state: Path | None = None) -> None:
    """Turn a knob as a run does that is then killed."""
    journal = Journal(machine.tree, state or machine.state)
    journal.turn(machine.tree.knob(GOVERNOR), "powersave", "governor")


def test_a_board_that_nobody_has_turned_has_nothing_to_give_back(machine: Machine, kernel: FakeKernel) -> None:
    assert restore(machine).lines() == []
    assert kernel.writes == []
    assert run_notes(machine) == []


def test_what_a_dead_run_left_is_put_back_once(machine: Machine, kernel: FakeKernel) -> None:
    before = snapshot(kernel)
    die_in_a_run(machine)
    (note,) = run_notes(machine)
    assert "has left knobs turned: 1;" in note.text
    assert note.mend == "gearshift restore"
    # A dry run changes nothing, and says the same.
    said = restore(machine, dry_run=True).lines()
    assert kernel.read(GOVERNOR) == b"powersave\n"
    assert restore(machine).lines() == said == [f"put back: /{GOVERNOR} = ondemand"]
    assert snapshot(kernel) == before
    assert restore(machine).lines() == []


def test_a_run_that_is_alive_keeps_the_board(machine: Machine, kernel: FakeKernel) -> None:
    hold = Hold(machine)
    hold.journal.turn(machine.tree.knob(GOVERNOR), "powersave", "governor")
    with pytest.raises(BoardBusyError, match=r"another run is using this board \(process \d+\)"):
        restore(machine)
    (note,) = run_notes(machine)
    assert "another run is using this board" in note.text
    assert kernel.read(GOVERNOR) == b"powersave\n"
    hold.give_back()
    assert restore(machine).lines() == []


def test_a_knob_that_cannot_be_put_back_is_named_and_stays_in_the_journal(machine: Machine, kernel: FakeKernel) -> None:
    die_in_a_run(machine)
    kernel.fail(GOVERNOR, errno.EBUSY)
    assert [line.partition(":")[0] for line in restore(machine).lines()] == ["could not be put back"]
    kernel.heal(GOVERNOR)
    assert restore(machine).lines() == [f"put back: /{GOVERNOR} = ondemand"]


def test_journals_of_other_users_are_named_and_left_alone(
    machine: Machine, kernel: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.agent.machine._ROOTS", tmp_path / "run" / "gearshift")
    monkeypatch.setattr("actors.agent.machine._SHARED_MEMORY", tmp_path)
    for state in (tmp_path / "run" / "gearshift", tmp_path / "gearshift-board-1000"):
        state.parent.mkdir(exist_ok=True)
        die_in_a_run(machine, state)
    assert [note.text.partition("(")[2] for note in journals_of_others(machine)] == [
        f"{tmp_path / 'run' / 'gearshift'})",
        f"{tmp_path / 'gearshift-board-1000'})",
    ]
    assert restore(machine).lines() == []
    assert kernel.read(GOVERNOR) == b"powersave\n"
    # Those of another boot mean nothing any more.
    kernel.text("proc/sys/kernel/random/boot_id", "another")
    assert journals_of_others(machine) == []
