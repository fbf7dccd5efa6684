"""The file of any board reads back as that board, to the bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.board_commands.board_text import board_text
from actors.board_file import read_board
from actors.cluster import packaged_board
from scheduler.board import Board, BoardUnit
from scheduler.idle_state import IdleState
from scheduler.mode import ClockRange, Mode
from scheduler.sensor import Sensor
from scheduler.thermal import Thermal

NAMES = st.text("abcXYZ019_.-", min_size=1, max_size=12)
WORDS = st.sampled_from(["on", "no", "null", "1e3", "0x40", "2.5", "true", "-", "~", "big", "p-cores", "07"])
POSITIVE = st.floats(1e-6, 1e7)
FIGURES = st.floats(0, 1e6)
WATTS = st.floats(0, 100)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


@st.composite
def units(draw: st.DrawFn, name: str, cpus: tuple[int, ...]) -> BoardUnit:
    mhz = tuple(sorted(draw(st.sets(POSITIVE, min_size=1, max_size=40))))
    powered = draw(st.booleans())
    watts = st.lists(WATTS, min_size=len(mhz), max_size=len(mhz))
    static_w = tuple(sorted(draw(watts))) if powered else None
    idle_share = draw(st.floats(0, 1))
    # One CPU unit has to stay on: the first.
    goes_off = cpus[0] > 0 and len(mhz) > 1 and draw(st.booleans())
    residencies = sorted(draw(st.sets(FIGURES, max_size=3)))
    return BoardUnit(
        name=name,
        kind="cpu",
        cpus=cpus,
        dvfs="cpufreq" if len(mhz) > 1 else draw(st.sampled_from(["cpufreq", "fixed", "emulated"])),
        mhz=mhz,
        static_w=static_w,
        dynamic_w=tuple(draw(watts)) if powered else None,
        speed=draw(POSITIVE),
        memory_share=draw(st.floats(0, 1)),
        domain=draw(st.none() | NAMES),
        transition_us=draw(FIGURES),
        idle_states=tuple(IdleState(residency_us=one, exit_us=draw(FIGURES)) for one in residencies),
        idle_share=idle_share,
        may_switch_off=goes_off,
        off_w=draw(st.none() | st.floats(0, idle_share * static_w[0])) if goes_off and static_w else None,
        off_ms=draw(FIGURES) if goes_off else 0.0,
        on_ms=draw(FIGURES) if goes_off else 0.0,
        thermal=Thermal(c_per_w=draw(POSITIVE), tau_s=draw(POSITIVE), trip_c=draw(st.floats(200, 1e4)))
        if powered and draw(st.booleans())
        else None,
    )


@st.composite
def any_board(draw: st.DrawFn) -> Board:
    names = draw(st.lists(NAMES | WORDS.filter(lambda word: word != "~"), min_size=1, max_size=3, unique=True))
    there = [draw(units(name, (2 * place, 2 * place + 1))) for place, name in enumerate(names)]
    rails = draw(st.lists(TEXT.map(str.strip), max_size=3, unique=True))
    first, base_w = there[0], draw(st.none() | FIGURES)
    return Board(
        name=draw(NAMES),
        units=tuple(there),
        base_w=base_w,
        sensor="none",
        sensors=tuple(
            Sensor(rail=rail, driver="ina2xx", covers=("board", (names[0],), ())[place], address="0x40")
            for place, rail in enumerate(rails)
        ),
        power_source=draw(TEXT).strip(),
        ambient_c=draw(st.floats(-50, 150)),
        speed_of=draw(NAMES),
        modes=(
            Mode(
                name="LOW",
                id=7,
                cpus=(0,),
                clocks=(ClockRange(unit=first.name, max_mhz=first.mhz[0]),),
                emc_w=None if base_w is None else draw(st.none() | FIGURES),
            ),
        ),
    )


@settings(max_examples=60)
@given(board=any_board(), notes=st.lists(TEXT, max_size=3))
def test_a_board_reads_back_as_itself(tmp_path_factory: pytest.TempPathFactory, board: Board, notes: list[str]) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    remarks = {None: notes, board.units[0].name: notes}
    file.write_text(board_text(board, header=notes, remarks=remarks, sources={"mhz": "unknown: " + "".join(notes)}))
    assert read_board(str(file)) == board


@pytest.mark.parametrize("name", ["jetson-xavier-nx", "odroid-xu3", "rk3588", "two-core-host"])
def test_a_packaged_board_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    # A file can't say that the clocks and CPUs of a mode are gone, so the whole board is written, as of its top clocks.
    board = packaged_board(name)
    units = tuple(replace(unit, shares_at_mhz=None) for unit in board.units)
    board = replace(board, units=units, mode=None, modes=())
    file = tmp_path / "board.yaml"
    file.write_text(board_text(board))
    assert read_board(str(file)) == board


def test_what_an_owner_allows_is_kept(tmp_path: Path) -> None:
    board = packaged_board("odroid-xu3")
    card = BoardUnit(
        name="gpu",
        kind="gpu",
        cpus=(),
        dvfs="nvml",
        mhz=(600,),
        static_w=None,
        dynamic_w=None,
        host="big",
        may_lock=True,
    )
    board = replace(board, units=(replace(board.units[0], may_switch_off=True), board.units[1], card))
    file = tmp_path / "board.yaml"
    file.write_text(board_text(board))
    assert read_board(str(file)) == board


def test_what_says_nothing_is_left_out_and_clocks_stand_above_their_watts() -> None:
    unit = BoardUnit(
        name="cpu", kind="cpu", cpus=(0, 1), dvfs="cpufreq", mhz=(200, 1000), static_w=(0.5, 1), dynamic_w=(0, 0.25)
    )
    board = Board(name="small", units=(unit,), base_w=None, sensor="none", power_source="measured: once")
    assert board_text(board, header=["A board."]).splitlines()[1:] == [
        "# A board.",
        "name: small",
        "units:",
        "  - name: cpu",
        "    kind: cpu",
        "    cpus: [0, 1]",
        "    dvfs: cpufreq",
        "    speed: 1",
        "    mhz:       [ 200, 1000]",
        "    static_w:  [ 0.5,    1]",
        "    dynamic_w: [   0, 0.25]",
        "power:",
        "  sensor: none",
        "  base_w: null",
        '  source: "measured: once"',
    ]


def test_what_an_owner_allows_reads_back(tmp_path: Path) -> None:
    unit = BoardUnit(name="gpu", kind="gpu", cpus=(), dvfs="nvml", mhz=(600.0, 900.0), static_w=None, dynamic_w=None)
    cpu = replace(unit, name="cpu", kind="cpu", cpus=(0,), dvfs="cpufreq", may_switch_off=True)
    other = replace(cpu, name="other", cpus=(1,), may_switch_off=False)
    units = (cpu, other, replace(unit, host="other", may_lock=True))
    board = Board(name="b", units=units, base_w=None, sensor="none", power_source="unknown: not measured")
    (file := tmp_path / "board.yaml").write_text(board_text(board))
    assert read_board(str(file)) == board
