"""A mode leaves a board with fewer CPUs and clocks, on which every clock that is left is as fast and costs as much."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.board import Board, BoardUnit
from scheduler.errors import InputError
from scheduler.mode import ClockRange, Mode
from scheduler.sensor import Sensor

BIG = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(0, 3),
    dvfs="cpufreq",
    mhz=(500.0, 1000.0, 1500.0, 2000.0),
    static_w=(0.1, 0.2, 0.3, 0.4),
    dynamic_w=(0.5, 1.0, 1.5, 2.0),
    speed=0.8,
    memory_share=0.25,
)
LITTLE = replace(
    BIG, name="little", cpus=(1, 2, 4), mhz=(300.0, 600.0), static_w=None, dynamic_w=None, memory_share=0.0
)
GPU = replace(BIG, name="gpu", kind="gpu", cpus=(), dvfs="devfreq", host="big")
RAILS = (
    Sensor(rail="VDD_IN", driver="ina3221", covers="board"),
    Sensor(rail="VDD_CPU_GPU", driver="ina3221", covers=("big", "little", "gpu")),
    Sensor(rail="VDD_SOC", driver="ina3221", covers=()),
)


def board(*modes):
    return Board(
        name="board",
        units=(BIG, LITTLE, GPU),
        base_w=1.0,
        sensor="none",
        power_source="made up",
        sensors=RAILS,
        modes=modes,
    )


@st.composite
def made_modes(draw):
    """A mode that a board's file may have: clocks of the tables, at least one CPU."""
    clocks = []
    for unit in (BIG, LITTLE, GPU):
        low, high = sorted(draw(st.tuples(*[st.integers(0, len(unit.mhz) - 1)] * 2)))
        clocks.append(
            ClockRange(
                unit=unit.name,
                min_mhz=draw(st.sampled_from([None, unit.mhz[low]])),
                max_mhz=draw(st.sampled_from([None, unit.mhz[high]])),
            )
        )
    some = st.lists(st.integers(0, 4), min_size=1, unique=True).map(tuple)
    kept = draw(st.lists(st.sampled_from(clocks), unique=True))
    return Mode(name="LOW", id=1, cpus=draw(st.none() | some), clocks=tuple(kept))


@given(mode=made_modes())
def test_what_is_left_is_within_the_mode_and_as_it_was(mode):
    whole, left = board(mode), board(mode).in_mode("LOW")
    ranges = {clocks.unit: clocks for clocks in mode.clocks}
    online = set(range(5)) if mode.cpus is None else set(mode.cpus)
    for unit in whole.units:
        if unit.cpus and not online & set(unit.cpus):
            with pytest.raises(KeyError):
                left.unit(unit.name)
            continue
        kept, clocks = left.unit(unit.name), ranges.get(unit.name, ClockRange(unit=unit.name))
        assert set(kept.cpus) == set(unit.cpus) & online
        assert kept.mhz == tuple(
            mhz for mhz in unit.mhz if (clocks.min_mhz or 0) <= mhz <= (clocks.max_mhz or float("inf"))
        )
        for mhz in kept.mhz:
            assert kept.pace(mhz) == pytest.approx(unit.pace(mhz))
            assert kept.pace(mhz, 0.7) == pytest.approx(unit.pace(mhz, 0.7))
            if unit.powered:
                at, was = kept.mhz.index(mhz), unit.mhz.index(mhz)
                assert (kept.static_w[at], kept.dynamic_w[at]) == (unit.static_w[was], unit.dynamic_w[was])
        assert kept.powered == unit.powered
        assert 0 <= kept.memory_share <= 1


@given(mode=made_modes())
def test_what_a_board_in_a_mode_names_is_there(mode):
    left = board(mode).in_mode("1")
    names = {unit.name for unit in left.units}
    assert (left.name, left.mode) == ("board:LOW", "LOW")
    assert any(unit.kind == "cpu" for unit in left.units)
    assert left.unit("gpu").host in names - {"gpu"}
    assert [rail.rail for rail in left.sensors] == [rail.rail for rail in RAILS]
    assert left.sensors[0] == RAILS[0]
    assert set(left.sensors[1].covers) == names


def test_a_mode_without_limits_changes_nothing_but_the_name():
    full = Mode(name="FULL", id=0)
    assert board(full).in_mode("FULL") == replace(board(full), name="board:FULL", mode="FULL")


@pytest.mark.parametrize(
    ("modes", "asked", "says"),
    [
        ((), "LOW", "Board 'board' has no mode 'LOW'. It has none, so name the board alone."),
        (
            (Mode(name="LOW", id=1), Mode(name="HIGH", id=2)),
            "LO",
            "Board 'board' has no mode 'LO'. Did you mean 'LOW'? Its modes: LOW (1), HIGH (2).",
        ),
    ],
)
def test_a_mode_that_is_not_there_is_refused_with_those_that_are(modes, asked, says):
    with pytest.raises(InputError) as caught:
        board(*modes).in_mode(asked)
    assert str(caught.value) == says


def test_a_board_in_a_mode_is_not_put_in_another():
    low = board(Mode(name="LOW", id=1, cpus=(0,)), Mode(name="FULL", id=0)).in_mode("LOW")
    with pytest.raises(
        InputError, match=r"is in mode 'LOW', which took clocks or CPUs away\. Load it in mode 'FULL'\."
    ):
        low.in_mode("FULL")


@given(
    first=st.integers(0, 3),
    left=st.integers(1, 4),
    share=st.floats(0, 1),
    own=st.none() | st.floats(0, 1),
    at_mhz=st.none() | st.floats(500, 2000),
)
def test_fewer_clocks_are_as_fast_as_before(first, left, share, own, at_mhz):
    unit = replace(BIG, memory_share=share, shares_at_mhz=at_mhz)
    fewer = unit.with_clocks(first, min(4, first + left))
    assert fewer.mhz == unit.mhz[first : first + left]
    assert [fewer.pace(mhz, own) for mhz in fewer.mhz] == pytest.approx([unit.pace(mhz, own) for mhz in fewer.mhz])
    fewest = fewer.with_clocks(0, 1)
    assert fewest.pace(fewest.mhz[0], own) == pytest.approx(unit.pace(fewest.mhz[0], own))
