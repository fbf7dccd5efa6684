"""The journal where it can't be kept, was left unfinished, or is not to be trusted."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.agent.checks import check_clocks
from actors.agent.devices import journal
from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.sysfs import AwayError, DeviceError, Knob
from actors.agent.hold import Hold, recover
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_loop import board_of
from helpers.fake_kernel import FakeTree, boards

pytestmark = pytest.mark.usefixtures("fake_boards")


@pytest.fixture
def xavier(tmp_path: Path) -> BoardBed:
    return fake_bed(boards.ALL["xavier-nx-l4t35"](), tmp_path / "state")


def _killed(xavier: BoardBed) -> None:
    """Leave the board as a run does that was killed with all clocks at their lowest."""
    hold = Hold(xavier.machine)
    for unit in xavier.units:
        CpufreqClock(unit, hold.journal).set_clock(unit.mhz[0])
    hold._unlock()


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_journal_that_another_could_have_written_is_not_undone(xavier: BoardBed, mode: int) -> None:
    _killed(xavier)
    before = xavier.knobs()
    xavier.machine.state.chmod(mode)
    for begin in (recover, Hold):
        with pytest.raises(DeviceError, match="others may write to it; remove it"):
            begin(xavier.machine)
    assert xavier.knobs() == before
    xavier.machine.state.chmod(0o755)
    Hold(xavier.machine).give_back()
    assert xavier.knobs() != before


def test_a_journal_of_another_user_is_not_undone(xavier: BoardBed) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a file another user's")
    _killed(xavier)
    os.chown(xavier.machine.state, 65534, 65534)
    with pytest.raises(DeviceError, match="belongs to another user"):
        recover(xavier.machine)


def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(xavier: BoardBed) -> None:
    before = xavier.knobs()
    _killed(xavier)
    (directory,) = xavier.machine.state.glob("journal-*")
    with (directory / "found").open("ab") as found:
        found.write(b'{"path": "sys/devices/sys')
    for on in (False, True):
        for cpu in (4, 5):
            xavier.switch(cpu, on)
        recovered = recover(xavier.machine)
        assert recovered is not None
        assert bool(recovered.failed) is not on, "a domain without CPUs takes nothing"
    assert xavier.knobs() == before
    assert not list(xavier.machine.state.glob("journal-*"))


@pytest.mark.parametrize("full_at", range(4))
def test_a_full_file_system_turns_nothing_and_breaks_no_line(
    xavier: BoardBed, full_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = xavier.knobs()
    written: list[int] = []

    class Os:
        def write(self, file: int, content: bytes) -> int:
            written.append(file)
            return os.write(file, content[: len(content) // 2] if len(written) == full_at + 1 else content)

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    monkeypatch.setattr(journal, "os", Os())
    unit = xavier.units[0]
    hold = Hold(xavier.machine)
    clock = CpufreqClock(unit, hold.journal)
    with pytest.raises(DeviceError, match=r"the journal in .* can't be written \(No space left on device\)"):
        clock.set_clock(unit.mhz[0])
    assert xavier.knobs() == before
    assert clock.set_clock(unit.mhz[0]) == unit.mhz[0]
    hold.give_back()
    assert xavier.knobs() == before
    assert not list(xavier.machine.state.glob("journal-*"))


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("begun", [True, False])
def test_no_knob_is_turned_for_which_the_journal_has_no_room(
    half: bool, begun: bool, xavier: BoardBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, file: int, line: bytes) -> int:
            if not half:
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(file, line[: len(line) // 2])

    before = xavier.knobs()
    hold = Hold(xavier.machine)
    unit, other = xavier.units[:2]
    if begun:
        CpufreqClock(unit, hold.journal).set_clock(unit.mhz[0])
    turned = xavier.knobs()
    with monkeypatch.context() as patch:
        patch.setattr(journal, "os", Full())
        with pytest.raises(DeviceError, match=r"can't be written \(No space left on device\), so no knob is turned"):
            CpufreqClock(other, hold.journal).set_clock(other.mhz[0])
    assert xavier.knobs() == turned
    CpufreqClock(other, hold.journal).set_clock(other.mhz[0])
    hold._unlock()
    recovered = recover(xavier.machine)
    assert recovered is not None
    assert not recovered.faults()
    assert xavier.knobs() == before


def test_a_place_where_no_journal_can_be_kept_is_told_before_the_run(xavier: BoardBed, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    machine = replace(xavier.machine, state=tmp_path / "file" / "state")
    with pytest.raises(DeviceError, match=r"may not write to .*file, where the journal .* has to be kept"):
        check_clocks(board_of(xavier), machine)
    with pytest.raises(DeviceError, match=r"can't be written \(Not a directory\), so no knob is turned"):
        CpufreqClock(xavier.units[0], Hold(machine).journal).set_clock(xavier.units[0].mhz[0])


def test_what_another_thread_turns_meanwhile_is_not_undone(xavier: BoardBed) -> None:
    before = xavier.knobs()
    hold = Hold(xavier.machine)
    first, second = (CpufreqClock(unit, hold.journal) for unit in xavier.units[:2])
    knob = xavier.tree.knob(f"{xavier.policy(xavier.units[2])}/scaling_governor")

    def turn_and_fail() -> None:
        with hold.journal.together():
            hold.journal.turn(knob, "powersave", "governor")
            other = threading.Thread(target=second.set_clock, args=[xavier.units[1].mhz[0]])
            other.start()
            other.join()
            raise DeviceError("made up")

    first.set_clock(xavier.units[0].mhz[0])
    with pytest.raises(DeviceError, match="made up"):
        turn_and_fail()
    assert knob.text() == before[knob.path]
    assert [xavier.khz(unit) for unit in xavier.units[:2]] == [round(unit.mhz[0] * 1000) for unit in xavier.units[:2]]
    hold.give_back()
    assert xavier.knobs() == before


@pytest.mark.parametrize("path", ["proc/sys/kernel/random/boot_id", "var/lib/nvpmodel/status"])
def test_a_figure_that_cannot_be_read_for_once_does_not_leave_the_board_turned(xavier: BoardBed, path: str) -> None:
    before = xavier.knobs()
    _killed(xavier)
    assert isinstance(xavier.tree, FakeTree)
    xavier.tree.kernel.fail(path, errno.EIO, times=1)
    recovered = recover(xavier.machine)
    assert recovered is not None
    assert recovered.faults() == []
    assert xavier.knobs() == before


def test_a_governors_figure_waits_in_the_journal_until_its_governor_is_back(xavier: BoardBed) -> None:
    unit = xavier.units[0]
    xavier.write(f"{xavier.policy(unit)}/scaling_governor", "userspace")
    xavier.write(f"{xavier.policy(unit)}/scaling_setspeed", round(unit.mhz[1] * 1000))
    before = xavier.knobs()
    hold = Hold(xavier.machine)
    CpufreqClock(unit, hold.journal).govern("performance", None)
    assert isinstance(xavier.tree, FakeTree)
    governor = f"{xavier.policy(unit)}/scaling_governor"
    xavier.tree.kernel.fail(governor, errno.EIO, times=1)
    assert [line for line in hold.give_back().faults() if governor in line]
    assert xavier.knobs() != before
    recovered = recover(xavier.machine)
    assert recovered is not None
    assert xavier.knobs() == before


def test_a_tunable_that_cannot_be_read_for_once_is_put_back_by_the_next_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    for unit in board.units:
        board.write(f"{board.policy(unit)}/scaling_governor", "schedutil")
    tunable = "sys/devices/system/cpu/cpufreq/schedutil/rate_limit_us"
    board.write(tunable, 3905)
    before = board.knobs()
    _killed(board)
    real_text, struck = Knob.text, []

    def text(knob: Knob) -> str:
        if knob.path == tunable and not struck:
            struck.append(knob)
            raise AwayError(tunable, "Input/output error")
        return real_text(knob)

    monkeypatch.setattr(Knob, "text", text)
    recovered = recover(board.machine)
    assert recovered is not None
    assert recovered.failed == (f"/{tunable}: Input/output error",)
    assert board.knobs() == before  # whoever recovers a board gives it back once more at the end
